"""Values and keys of whole feature views, read from the online store and from the tables."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from spark_jobs.publish.online_stores import online_store
from spark_jobs.publish.online_stores.entity_keys import entity_key, parsed, serialized
from spark_jobs.warehouse.change_log import latest_rows

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

# SQLite takes at most 32,766 keys a query.
_BATCH = 5000


def offline_state(view: "FeatureView", spark: SparkSession) -> DataFrame:
    """Return the expected content of the online store: each key's latest row, tombstones too.

    Returns:
        join keys, features (null where ``is_active`` is false), is_active and the times of the row.
    """
    log = spark.sql(view.batch_source.query)
    return latest_rows(log, view.join_keys)


def known_keys(view: "FeatureView", spark: SparkSession) -> pa.Table:
    """Return every key that was ever published for a view."""
    log = spark.sql(view.batch_source.query)
    # A key has a row for each night in which it changed.
    return log.select(*view.join_keys).distinct().toArrow()


def online_values(
    store: "FeatureStore", view: "FeatureView", keys: pa.Table
) -> Iterator[Sequence[Any]]:
    """Yield the view's features for each row of ``keys``, in their order, as Feast's protos.

    Features come in the schema's order. One that is null, or whose key is absent, has no value set.
    """
    references = [f"{view.name}:{feature.name}" for feature in view.features]
    names = [feature.name for feature in view.features]
    for start in range(0, keys.num_rows, _BATCH):
        batch = keys.slice(start, _BATCH).select(view.join_keys).to_pydict()
        response = store.get_online_features(features=references, entity_rows=batch).proto
        columns = list(response.metadata.feature_names.val)
        results = [response.results[columns.index(name)].values for name in names]
        yield from zip(*results, strict=True)


def keys_only_online(
    store: "FeatureStore", view: "FeatureView", known: Iterable[tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """Return the keys that the online store has a row of in a view, but that are not ``known``.

    Args:
        known: keys in the order of the view's join keys.
    """
    names = view.join_keys  # Feast finds these out anew each time
    expected = {serialized(store, entity_key(names, key)) for key in known}
    held = online_store(store).keys(view)
    unknown = (parsed(store, names, key) for key in held if key not in expected)
    return sorted(key for key in unknown if key is not None)


def online_checksum(store: "FeatureStore", spark: SparkSession) -> dict[str, str]:
    """Return ``<keys with a value>:<hash>`` of each view, whatever the order of its keys.

    Equal checksums mean that readers get the same values. A key that is gone counts as one that
    never was.
    """
    return {
        view.name: _checksum(store, view, known_keys(view, spark))
        for view in sorted(store.list_feature_views(), key=lambda view: view.name)
    }


def is_present(values: Sequence[Any]) -> bool:
    """Whether a key has any value."""
    return any(value.WhichOneof("val") is not None for value in values)


def _checksum(store: "FeatureStore", view: "FeatureView", keys: pa.Table) -> str:
    count, total = 0, 0
    columns = [keys.column(name).to_pylist() for name in view.join_keys]
    for key, values in zip(
        zip(*columns, strict=True), online_values(store, view, keys), strict=True
    ):
        if not is_present(values):
            continue
        digest = hashlib.blake2b(repr(key).encode(), digest_size=8)
        for value in values:
            digest.update(value.SerializeToString(deterministic=True))
            digest.update(b"|")
        count += 1
        # Summed, so that order does not matter.
        total += int.from_bytes(digest.digest(), "big")
    return f"{count}:{total % 2**64:016x}"
