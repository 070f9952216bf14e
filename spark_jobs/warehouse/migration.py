"""Migration: tables as earlier versions wrote them, brought to today's contracts.

Until November 2026 names held what has columns now: ``step = "item_embeddings cope@..."``,
``check_name = "no_drift(drift_mean_shift, cope@...)"``, ``stage = "backfill_r2_validation"``.
Nothing else takes these names apart.

Each ledger is rewritten by one commit, which brings the columns and their values together: a run
that is killed leaves it as it was, or done. ``stage_runs``, which every warehouse with a night has,
comes last, so that one look at its schema says that there is nothing to do.

A published table gets columns that have come since as its next rows are written. Where Feast's
sources name one, it gets it here, since they may be read before.
"""

import logging
from collections.abc import Callable, Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import (
    AUDIT_RESULTS,
    ITEM_EMBEDDINGS,
    NIGHTS,
    QUARANTINE,
    STAGE_RUNS,
    Table,
)
from spark_jobs.warehouse.locks import WarehouseBusy, warehouse_lock
from spark_jobs.warehouse.schemas import partitions, schema, with_missing_columns
from spark_jobs.warehouse.tables import Tables

logger = logging.getLogger(__name__)

_OLD_STAGE = r"^backfill_(r[0-9]+)_(.+)$"
_VERSION = r"[a-z0-9_.-]+@[0-9a-f]{12}"


def migrate(tables: Tables) -> list[str]:
    """Bring a warehouse to today's contracts; return the names of the tables that were changed.

    To be called with the warehouse's lock held. Twice is once.
    """
    rewritten = []
    for table in outdated_ledgers(tables):
        logger.info("migration: %s is brought to today's contract", table.name)
        _rewrite(tables, table)
        rewritten.append(table.name)
    for table in _without_new_columns(tables):
        # No rows, but with all columns.
        rows = with_missing_columns(tables.read(table), table).limit(0)
        rows.write.format("delta").mode("append").option("mergeSchema", "true").save(
            tables.path(table)
        )
        rewritten.append(table.name)
    return rewritten


def migrate_if_free(tables: Tables) -> bool:
    """Migrate a warehouse whose lock the caller does not hold, unless another run holds it.

    That run migrates as it starts, if it is of this version. Beside one of an earlier version
    readers find rows of the old form as they are, with nulls in the columns that they lack.

    Returns:
        Whether the tables are in today's form.
    """
    if not outdated_ledgers(tables) and not _without_new_columns(tables):
        return True
    try:
        with warehouse_lock(tables.warehouse):
            migrate(tables)
    except WarehouseBusy:
        logger.warning("migration: left to the run that is writing to the warehouse")
        return False
    return True


def outdated_ledgers(tables: Tables) -> list[Table]:
    """Return the ledgers of the old form, in the order in which to migrate them.

    They have no column ``release``, which came to all of them at once.
    """
    if tables.exists(STAGE_RUNS) and not _is_outdated(tables, STAGE_RUNS):
        return []
    return [table for table in _MIGRATED if tables.exists(table) and _is_outdated(tables, table)]


def _without_new_columns(tables: Tables) -> list[Table]:
    return [
        table
        for table in _NAMED_BY_FEAST
        if tables.exists(table) and not set(schema(table).names) <= set(tables.column_names(table))
    ]


def _is_outdated(tables: Tables, table: Table) -> bool:
    return "release" not in tables.column_names(table)


def _rewrite(tables: Tables, table: Table) -> None:
    rows = _MIGRATED[table](with_missing_columns(tables.read(table), table))
    commented = [F.col(c.name).alias(c.name, metadata=c.metadata) for c in schema(table)]
    # A file a partition, as maintenance leaves them.
    gathered = rows.select(*commented).repartition(*partitions(table))
    writer = gathered.write.format("delta").mode("overwrite").option("mergeSchema", "true")
    writer.option("partitionOverwriteMode", "static").save(tables.path(table))


def with_release(rows: DataFrame) -> DataFrame:
    """Move the release of a backfill from the name of the stage to its column."""
    stage = F.col("stage")
    is_backfill = stage.rlike(_OLD_STAGE)
    release = F.when(is_backfill, F.regexp_extract(stage, _OLD_STAGE, 1)).otherwise(
        F.col("release")
    )
    named = F.when(is_backfill, F.regexp_extract(stage, _OLD_STAGE, 2)).otherwise(stage)
    return rows.withColumns({"release": release, "stage": named})


def with_step_encoder(rows: DataFrame) -> DataFrame:
    """Move the encoder version from the name of the step to its column."""
    pattern = f"^(.+) ({_VERSION})$"
    version = F.regexp_extract("step", pattern, 2)
    is_named = F.col("step").rlike(pattern)
    step = F.when(is_named, F.regexp_extract("step", pattern, 1)).otherwise(F.col("step"))
    encoder = F.when(is_named, version).otherwise(F.col("encoder_version"))
    return with_release(rows).withColumns({"step": step, "encoder_version": encoder})


def with_check_parts(rows: DataFrame) -> DataFrame:
    """Move what the name of a check has in brackets to its columns."""
    name = F.col("check_name")
    inner = F.regexp_extract(name, r"^[^(]*\((.*)\)$", 1)
    version = F.regexp_extract(inner, f"(?:^|, | )({_VERSION})$", 1)
    about = F.regexp_replace(inner, f"(?:^|, | ){_VERSION}$", "")
    # Checks of quarantine are about a stage and a step of it.
    is_of_step = name.startswith("few_refused(")
    measure = F.when(is_of_step, F.substring_index(about, ", ", 1)).otherwise(about)
    step = F.when(is_of_step, F.regexp_extract(about, "^[^,]*, (.*)$", 1))
    parts = {
        "check_name": F.substring_index(name, "(", 1),
        "measure": _or_null(measure),
        "step": _or_null(step),
        "encoder_version": _or_null(version),
    }
    is_old = name.contains("(")
    return with_release(rows).withColumns(
        {column: F.when(is_old, part).otherwise(F.col(column)) for column, part in parts.items()}
    )


def _or_null(text: Column) -> Column:
    return F.when(text != "", text)


# Published tables that have got a column which a feature view names.
_NAMED_BY_FEAST = (ITEM_EMBEDDINGS,)
_MIGRATED: Mapping[Table, Callable[[DataFrame], DataFrame]] = {
    QUARANTINE: with_release,
    NIGHTS: with_release,
    AUDIT_RESULTS: with_check_parts,
    STAGE_RUNS: with_step_encoder,
}
