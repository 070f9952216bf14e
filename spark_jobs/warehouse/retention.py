"""Staged rows of old nights: maintenance removes them, and says so before anything misses them.

Without them, publishing an old night again would replace what is served of it by nothing.
"""

from collections.abc import Mapping
from datetime import datetime

from pyspark.sql import functions as F

from spark_jobs.contracts import ENCODING_STAGES, NIGHTS, PUBLISHED, STAGE_RUNS
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.warehouse.delta_files import delete_rows
from spark_jobs.warehouse.ledgers import without_backfills
from spark_jobs.warehouse.tables import Tables

MAINTENANCE = "maintenance"
# The stages that stage rows, each reading what those before it have staged.
_STAGING = ("ingest", "spu", *ENCODING_STAGES)
_READ_ALL = ("validation", "publish")


class NotIngested(ValueError):
    """Ingest found a feed broken, and staged nothing of the night."""


class StagedRowsRemoved(ValueError):
    """Maintenance has removed what the stage reads of the night."""


def staged_nights(tables: Tables, before: Night) -> dict[Night, int]:
    """Return how many rows are staged of each night before one."""
    counts: dict[Night, int] = {}
    for table in PUBLISHED:
        rows = tables.all_staged(table).filter(F.col("ds") < F.lit(before.ds))
        for row in rows.groupBy("ds").count().collect():
            night = Night(row["ds"])
            counts[night] = counts.get(night, 0) + row["count"]
    return counts


def remove_staged(tables: Tables, nights: Mapping[Night, int]) -> None:
    """Remove the staged rows of nights; from then on each is run from ingest on, or not at all."""
    columns = (
        "step string, encoder_version string, rows_in bigint, rows_out bigint, "
        "rows_quarantined bigint, rows_encoded bigint, rows_spared bigint, seconds double, "
        "stage_seconds double"
    )
    for night, rows in nights.items():
        # Before the rows go: a run that is killed in between has removed nothing in silence.
        said = [("staged rows removed", None, rows, rows, 0, None, None, 0.0, None)]
        tables.record(local_frame(tables.spark, said, columns), STAGE_RUNS, night, MAINTENANCE)
    days = [F.lit(night.ds) for night in nights]
    for table in PUBLISHED:
        delete_rows(tables.spark, tables.staged_path(table), F.col("ds").isin(days))


def check_staged(tables: Tables, night: Night, stage: str) -> None:
    """Pass if all that a stage reads of the night's staged rows is there.

    Raises:
        NotIngested: ingest stopped the night.
        StagedRowsRemoved: maintenance has removed it, and it was not made again since.
    """
    if tables.backfills is not None:
        return
    if "ingest" in _needed(stage) and not tables.recorded(NIGHTS, night, "ingest").isEmpty():
        raise NotIngested(
            f"{stage}, night {night}: ingest stopped the night, so none of its rows are staged. "
            f"Mend the feeds and run it again: embedmill run --config CONFIG --ds {night}. Why it "
            "was stopped is in the table nights. Nothing was changed."
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
            f"and {', '.join(missing)} did not run since. Run the night from the first of them on "
            f"(embedmill run --config CONFIG --from {missing[0]} --ds {night}); to keep staged "
            "rows longer, raise retention.staged_nights. Nothing was changed."
        )


def _needed(stage: str) -> tuple[str, ...]:
    if stage in _READ_ALL:
        return _STAGING
    return _STAGING[: _STAGING.index(stage)] if stage in _STAGING else ()


def _last_runs(tables: Tables, night: Night) -> dict[str, datetime]:
    rows = without_backfills(tables.read(STAGE_RUNS)).filter(F.col("ds") == F.lit(night.ds))
    latest = rows.groupBy("stage").agg(F.max("created_timestamp").alias("at")).collect()
    return {row["stage"]: row["at"] for row in latest}
