"""Reconciliation: the online store compared with the published tables, key by key."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.engine.concurrency import gc_paused, run_concurrently
from spark_jobs.night import Night
from spark_jobs.publish.online_stores import online_store
from spark_jobs.publish.online_values import (
    is_present,
    keys_only_online,
    offline_state,
    online_values,
)

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

logger = logging.getLogger(__name__)

NEVER = "none, it was never published"
_SHOWN = 5


class NotReconciled(ValueError):
    """The online store and the published tables differ."""


@dataclass(frozen=True)
class Reconciled:
    """A view whose online values are those of its table.

    Attributes:
        keys: keys ever published.
        active: those with a value; the others are gone and read as null.
        compared: keys whose values were compared, not only their presence.
    """

    view: str
    keys: int
    active: int
    compared: int


@dataclass(frozen=True)
class Difference:
    """One key that reads differently online."""

    view: str
    key: tuple[str, ...]
    feature: str
    expected: object
    seen: object

    def __str__(self) -> str:
        return (
            f"{self.view} {self.key!r} {self.feature}: "
            f"expected {_short(self.expected)}, seen {_short(self.seen)}"
        )


@gc_paused()
def reconcile(
    store: "FeatureStore",
    spark: SparkSession,
    *,
    night: Night,
    sample: int,
    release: str | None = None,
) -> list[Reconciled]:
    """Compare every view of the online store, or those of one release, with its published table.

    Every key ever published is read online: an active one must have a value, one that is gone must
    have none. The values of about ``sample`` keys, and of about as many of those that changed
    tonight, must be equal. No key that was never published may have a value; stores that cannot
    list their keys are not searched for one.

    Raises:
        NotReconciled: naming view, key, feature, expected and seen.
    """
    if not online_store(store).lists_keys:
        kind = store.config.online_store.type
        logger.warning("keys that only the online store has are not looked for in %s", kind)
    checked: list[Reconciled] = []
    differences: list[Difference] = []
    views = [
        view
        for view in sorted(store.list_feature_views(), key=lambda view: view.name)
        if release in (None, view.tags.get("release"))
    ]
    expected = run_concurrently(
        partial(expected_rows, offline_state(view, spark), view, night=night, sample=sample)
        for view in views
    )
    for view, rows in zip(views, expected, strict=True):
        reconciled, found = compare(store, view, rows)
        checked.append(reconciled)
        differences += [*found, *never_published(store, view, rows)]
    refuse_differences(differences, night)
    return checked


def refuse_differences(differences: Sequence[Difference], night: Night) -> None:
    """Pass if there are none.

    Raises:
        NotReconciled: naming the first of them.
    """
    if differences:
        shown = "; ".join(str(difference) for difference in differences[:_SHOWN])
        more = f"; and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        raise NotReconciled(
            f"night {night}: {len(differences)} keys or values of the online store are not those "
            f"of the published tables: {shown}{more}. Run materialize and reconcile again. If it "
            "persists, empty the online store and run them once more, which fills it from the "
            "beginning: EMBEDMILL_WAREHOUSE=<the warehouse> feast -c feature_repo teardown "
            "(with -f, where the settings are not those of feature_store.yaml)."
        )


def expected_rows(state: DataFrame, view: "FeatureView", *, night: Night, sample: int) -> pa.Table:
    """Collect the keys of a view with their values where they are in the sample.

    Args:
        state: latest row of each key.

    Returns:
        join keys, is_active, ``values``: struct of the features, null outside the sample.
    """
    counted = state.agg(F.count("*"), F.count_if(F.col("ds") == F.lit(night.ds)))
    total, tonight = counted.collect()[0]
    spread = F.xxhash64(F.lit(str(night)), *view.join_keys)
    sampled = _one_in(spread, total, sample) | (
        (F.col("ds") == F.lit(night.ds)) & _one_in(spread, tonight, sample)
    )
    values = F.struct(*(feature.name for feature in view.features))
    return state.select(
        *view.join_keys, "is_active", F.when(sampled, values).alias("values")
    ).toArrow()


def _one_in(spread: Column, rows: int, sample: int) -> Column:
    return F.pmod(spread, F.lit(max(1, rows // max(1, sample)))) == 0


def compare(
    store: "FeatureStore", view: "FeatureView", expected: pa.Table
) -> tuple[Reconciled, list[Difference]]:
    """Read every expected key of a view online and compare.

    Args:
        expected: as from ``expected_rows``.
    """
    names = [feature.name for feature in view.features]
    join_keys = view.join_keys  # Feast finds these out anew each time
    values = online_values(store, view, expected.select(join_keys))
    differences: list[Difference] = []
    active = compared = 0
    for row, online in zip(expected.to_pylist(), values, strict=True):
        key = tuple(row[name] for name in join_keys)
        active += row["is_active"]
        if is_present(online) != row["is_active"]:
            differences.append(
                Difference(
                    view.name, key, "*", _presence(row["is_active"]), _presence(is_present(online))
                )
            )
        elif row["values"] is not None:
            compared += 1
            differences += _value_differences(
                view.name, key, row["values"], dict(zip(names, online, strict=True))
            )
    return Reconciled(view.name, expected.num_rows, active, compared), differences


def never_published(
    store: "FeatureStore", view: "FeatureView", expected: pa.Table
) -> list[Difference]:
    """Return the keys that have a value online and no row in the table.

    Args:
        expected: as from ``expected_rows``: all keys that were ever published.
    """
    if not online_store(store).lists_keys:
        return []
    columns = [expected.column(name).to_pylist() for name in view.join_keys]
    keys = keys_only_online(store, view, zip(*columns, strict=True))
    parts = zip(view.join_keys, zip(*keys, strict=True), strict=True) if keys else ()
    held = pa.table({name: list(values) for name, values in parts})
    return [
        Difference(view.name, key, "*", NEVER, "a value")
        for key, values in zip(keys, online_values(store, view, held), strict=True)
        if is_present(values)
    ]


def _value_differences(
    view: str, key: tuple[str, ...], expected: Mapping[str, object], online: Mapping[str, Any]
) -> list[Difference]:
    from feast.type_map import feast_value_type_to_python_type

    found = {name: feast_value_type_to_python_type(value) for name, value in online.items()}
    return [
        Difference(view, key, name, value, found[name])
        for name, value in expected.items()
        if not same_value(value, found[name])
    ]


def same_value(expected: object, seen: object) -> bool:
    """Whether two values are equal; vectors bit for bit as float32."""
    if isinstance(expected, Sequence) and not isinstance(expected, str):
        return (
            isinstance(seen, Sequence)
            and len(seen) == len(expected)
            and np.array_equal(np.asarray(expected, np.float32), np.asarray(seen, np.float32))
        )
    return expected == seen


def _presence(active: bool) -> str:
    return "a value" if active else "none"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
