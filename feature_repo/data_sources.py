"""Sources of feature values: the published change logs, as Spark queries over Delta tables.

Every query keeps tombstones and turns their values into null, so that a key that is gone reads as
null online and in point-in-time joins, not as its last value. ``is_active`` is for reconciliation.
"""

import os
from collections.abc import Mapping

from entities import OWNER
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource

from spark_jobs.contracts import Table
from spark_jobs.releases.export import exported_no_history, exported_served
from spark_jobs.releases.release import Release


def _warehouse() -> str:
    """Return the warehouse's absolute path or URI.

    Raises:
        LookupError: ``EMBEDMILL_WAREHOUSE`` is not set.
    """
    named = os.environ.get("EMBEDMILL_WAREHOUSE", "")
    if not named:
        raise LookupError(
            "EMBEDMILL_WAREHOUSE is not set. Set it to the absolute path or URI of the warehouse, "
            "such as EMBEDMILL_WAREHOUSE=$PWD/warehouse."
        )
    return named.rstrip("/") if "://" in named else os.path.abspath(named)


WAREHOUSE = _warehouse()
RELEASES = exported_served(WAREHOUSE)
_NO_HISTORY = exported_no_history(WAREHOUSE)


def popularity(release: Release | None) -> str:
    """Return the cosine of ``embedding`` with a release's vector of a user without history, as SQL.

    It is NULL where the release has none.
    """
    vector = _NO_HISTORY.get(release.name, []) if release else []
    if not vector:
        return "CAST(NULL AS DOUBLE)"
    numbers = ", ".join(f"{float(number)!r}D" for number in vector)
    products = f"zip_with(embedding, array({numbers}), (x, y) -> x * y)"
    return f"aggregate({products}, 0D, (total, product) -> total + product)"


def change_log(
    name: str, table: Table, columns: Mapping[str, str], *, encoder_version: str | None = None
) -> SparkSource:
    """Return a source over a published change log.

    Args:
        name: of the source.
        columns: feature -> column of the table, or an expression over its columns.
        encoder_version: whose rows; None is all rows.
    """
    keys = [key for key in table.keys if key != "encoder_version"]
    features = [f"IF(is_active, {column}, NULL) AS {name}" for name, column in columns.items()]
    selected = [*keys, *features, "is_active", "event_timestamp", "created_timestamp", "ds"]
    path = f"{WAREHOUSE}/{table.name}".replace("`", "``")
    only = f" WHERE encoder_version = '{encoder_version}'" if encoder_version else ""
    return SparkSource(
        name=name,
        query=f"SELECT {', '.join(selected)} FROM delta.`{path}`{only}",  # noqa: S608
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
        date_partition_column="ds",
        description=f"{table.name}: {table.grain}",
        owner=OWNER,
    )
