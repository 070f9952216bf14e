"""Change logs: fold a log into state, and compute the rows that turn one state into another."""

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from spark_jobs.contracts import Table


def latest_rows(log: DataFrame, keys: Sequence[str]) -> DataFrame:
    """Fold a change log into state: the last row of each key, removed keys included.

    A key has one row a night, so the order by ``event_timestamp`` is total.
    """
    newest_first = Window.partitionBy(*keys).orderBy(F.col("event_timestamp").desc())
    return (
        log.withColumn("_rank", F.row_number().over(newest_first))
        .filter(F.col("_rank") == 1)
        .drop("_rank")
    )


def changed_rows(
    before: DataFrame, tonight: DataFrame, *, keys: Sequence[str], payload: Sequence[str]
) -> DataFrame:
    """Return the rows that turn the state ``before`` into the state ``tonight``.

    Args:
        before: active rows as of the night before; has ``keys`` and ``payload``.
        tonight: active rows as they should be; one row a key, same columns.
        payload: columns whose change makes a row. They are compared as JSON, so maps and arrays may
            be among them.

    Returns:
        keys, the other columns of ``tonight``, is_active: new and changed keys with their new
        values, and vanished keys with their old ones and ``is_active = false``.
    """
    columns = [column for column in tonight.columns if column != "is_active"]
    fingerprint = F.xxhash64(F.to_json(F.struct(*payload)))

    def of_state(state: DataFrame, name: str) -> DataFrame:
        return state.select(
            *keys, F.struct(*columns).alias(name), fingerprint.alias(f"{name}_fingerprint")
        )

    is_changed = ~F.col("_before_fingerprint").eqNullSafe(F.col("_tonight_fingerprint"))
    return (
        of_state(before, "_before")
        .join(of_state(tonight, "_tonight"), on=list(keys), how="full_outer")
        .filter(is_changed)
        .select(
            F.coalesce("_tonight", "_before").alias("_row"),
            F.col("_tonight").isNotNull().alias("is_active"),
        )
        .select("_row.*", "is_active")
    )


def active_rows(log: DataFrame, table: Table, columns: Sequence[str] | None = None) -> DataFrame:
    """Return the state that a log leads to: the latest row of each key, if it is active.

    Args:
        columns: those to carry; all of them if None.
    """
    wanted = list(columns) if columns is not None else log.columns
    rows = last_rows(log, table, list(dict.fromkeys((*wanted, "is_active"))))
    return rows.filter("is_active").select(*wanted)


def last_rows(log: DataFrame, table: Table, columns: Sequence[str]) -> DataFrame:
    """Return columns of the last row of each key of a log; a removed key's too."""
    read = dict.fromkeys((*table.keys, *columns, "event_timestamp"))
    return latest_rows(log.select(*read), table.keys).select(*columns)
