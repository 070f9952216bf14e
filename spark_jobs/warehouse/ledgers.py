"""Rows of ledgers: those of nights apart from those of backfills, and labels to print.

A stage that runs for the backfill of a release writes to the same ledgers, under the same stage:
its rows name the release, and those of the night itself name none.
"""

from datetime import date
from typing import Any, cast

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

# Columns of ``audit_results`` that, with ``table_name``, tell the checks of a night apart.
CHECK_PARTS = ("check_name", "measure", "step", "encoder_version")


def is_of_release(release: str | None) -> Column:
    """Whether a ledger row is of the backfill of ``release``; of the night itself, if None."""
    return F.col("release").eqNullSafe(F.lit(release).cast("string"))


def without_backfills(ledger: DataFrame) -> DataFrame:
    """Return the rows about nights themselves: backfills write to the same ledgers."""
    return ledger.filter(is_of_release(None))


def partition_may_hold(spark: SparkSession, path: str, ds: date, stage: str | None) -> bool:
    """Whether a table may have rows of a night, and of a stage if given, by its folders alone.

    False is certain; True is not: files of a write that was killed, or replaced, remain.
    """
    # Delta keeps each partition in a folder of its own.
    hadoop = cast(Any, spark._jvm).org.apache.hadoop.fs
    folder = hadoop.Path(f"{path}/ds={ds}")
    files = folder.getFileSystem(cast(Any, spark._jsc).hadoopConfiguration())
    if not files.exists(folder):
        return False
    names = [entry.getPath().getName() for entry in files.listStatus(folder)]
    # The folder of another stage is the only thing that cannot hold rows of this one.
    return any(name == f"stage={stage}" or not name.startswith("stage=") for name in names)


def step_label(step: str, encoder_version: str | None) -> str:
    """Return the name of a row of ``stage_runs`` for people: ``items cope@...``."""
    return f"{step} {encoder_version}" if encoder_version else step


def check_label(
    check_name: str,
    measure: str | None = None,
    step: str | None = None,
    encoder_version: str | None = None,
) -> str:
    """Return the name of a row of ``audit_results`` for people: ``coverage(cope@...)``.

    No program should read it: its parts have columns of their own.
    """
    parts = [part for part in (measure, step, encoder_version) if part]
    return f"{check_name}({', '.join(parts)})" if parts else check_name
