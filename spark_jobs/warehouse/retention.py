"""Retention of staged rows: remove those of old nights, and refuse to run stages that need them.

Without its staged rows, publishing an old night again would replace its served rows by none.
"""

from collections.abc import Mapping
from datetime import datetime

from pyspark.sql import functions as F

from spark_jobs.contracts import ENCODING_STAGES, NIGHTS, PUBLISHED, STAGE_RUNS
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.warehouse.delta_files import delete_rows
from spark_jobs.warehouse.ledgers import without_backfills
from spark_jobs.warehouse.schemas import with_missing_columns
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

MAINTENANCE = "maintenance"
# The stages that stage rows, in order: each reads the rows staged before it.
_STAGING = ("ingest", "spu", *ENCODING_STAGES)
_READ_ALL = ("validation", "publish")


class NotIngested(ValueError):
    """Ingest stopped the night because of a broken feed: no rows of it are staged."""


class StagedRowsRemoved(ValueError):
    """Maintenance has removed the staged rows that the stage reads."""


def staged_nights(tables: Tables, before: Night) -> dict[Night, int]:
    """Return the number of staged rows of each night before ``before``."""
    counts: dict[Night, int] = {}
    for table in PUBLISHED:
        rows = tables.all_staged(table).filter(F.col("ds") < F.lit(before.ds))
        for row in rows.groupBy("ds").count().collect():
            night = Night(row["ds"])
            counts[night] = counts.get(night, 0) + row["count"]
    return counts


def remove_staged(tables: Tables, nights: Mapping[Night, int]) -> None:
    """Remove the staged rows of nights. After it such a night can be run from ingest on only."""
    columns = (
        "step string, rows_in bigint, rows_out bigint, rows_quarantined bigint, seconds double"
    )
    for night, rows in nights.items():
        # Recorded before the removal: a run killed in between has removed no unrecorded row.
        step = local_frame(tables.spark, [("staged rows removed", rows, rows, 0, 0.0)], columns)
        tables.record(with_missing_columns(step, STAGE_RUNS), STAGE_RUNS, night, MAINTENANCE)
    days = [F.lit(night.ds) for night in nights]
    for table in PUBLISHED:
        delete_rows(tables.spark, tables.staged_path(table), F.col("ds").isin(days))


def check_staged(tables: Tables, night: Night, stage: str) -> None:
    """Check that the staged rows of the night that a stage reads are still there.

    Raises:
        NotIngested: ingest stopped the night.
        StagedRowsRemoved: maintenance has removed them, and no stage has staged them again.
    """
    if tables.backfills is not None:
        return
    if "ingest" in _needed(stage) and not tables.recorded(NIGHTS, night, "ingest").isEmpty():
        raise NotIngested(
            f"{stage}, night {night}: ingest stopped the night, so none of its rows are staged. "
            "The table nights has the reason. Correct the feeds and run the night again: embedmill "
            f"run --config CONFIG --ds {night}. Nothing was changed."
        )
    if not tables.may_hold(STAGE_RUNS, night, MAINTENANCE):
        return
    ran = _last_runs(tables, night)
    removed = ran.get(MAINTENANCE)
    needed = _needed(stage)
    missing = [s for s in needed if removed and (s not in ran or ran[s] <= removed)]
    if missing:
        raise StagedRowsRemoved(
            f"{stage}, night {night}: maintenance removed the night's staged rows at {removed}, "
            f"and {', '.join(missing)} did not run since. Run the night from {missing[0]} on: "
            f"embedmill run --config CONFIG --from {missing[0]} --ds {night}. To keep staged rows "
            "for longer, raise retention.staged_nights. Nothing was changed."
        )


def snapshot_of_night(tables: Tables, night: Night) -> Snapshot:
    """Return a night for whoever reads it later: as it was published, or else as it was staged.

    Raises:
        NotIngested: ingest stopped the night.
        StagedRowsRemoved: it was not published, and maintenance has removed what it staged.
    """
    if not tables.recorded(NIGHTS, night, "publish").filter("state = 'published'").isEmpty():
        return Snapshot(tables, night, "published")
    check_staged(tables, night, ENCODING_STAGES[0])
    return Snapshot(tables, night, "staged")


def _needed(stage: str) -> tuple[str, ...]:
    if stage in _READ_ALL:
        return _STAGING
    return _STAGING[: _STAGING.index(stage)] if stage in _STAGING else ()


def _last_runs(tables: Tables, night: Night) -> dict[str, datetime]:
    rows = without_backfills(tables.read(STAGE_RUNS)).filter(F.col("ds") == F.lit(night.ds))
    latest = rows.groupBy("stage").agg(F.max("created_timestamp").alias("at")).collect()
    return {row["stage"]: row["at"] for row in latest}
