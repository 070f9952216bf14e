"""Rows of ledgers: those of nights apart from those of backfills, and labels to print.

A stage that runs for the backfill of a release writes to the same ledgers, under the same stage:
its rows name the release, and those of the night itself name none.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

# Columns of ``audit_results`` that, with ``table_name``, tell the checks of a night apart.
CHECK_PARTS = ("check_name", "measure", "step", "encoder_version")


def is_of_release(release: str | None) -> Column:
    """Whether a ledger row is of the backfill of ``release``; of the night itself, if None."""
    return F.col("release").eqNullSafe(F.lit(release).cast("string"))


def without_backfills(ledger: DataFrame) -> DataFrame:
    """Return the rows about nights themselves: backfills write to the same ledgers."""
    return ledger.filter(is_of_release(None))


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
