"""History: what did each night do, in one line of the index?"""

from collections.abc import Iterable, Mapping
from functools import partial

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from spark_jobs.contracts import AUDIT_RESULTS, NIGHTS, STAGE_RUNS
from spark_jobs.engine.concurrency import at_once
from spark_jobs.night import Night
from spark_jobs.report.facts import NightLine
from spark_jobs.report.ledgers import STAGE, night_state
from spark_jobs.runs.stage import by_nights
from spark_jobs.warehouse.tables import Tables

# A year and a month: what is older is in the ledgers.
MOST_NIGHTS = 400


def read_history(tables: Tables) -> list[NightLine]:
    """Return the last nights, newest first."""
    runs = by_nights(tables.read(STAGE_RUNS))
    results, ends = by_nights(tables.read(AUDIT_RESULTS)), by_nights(tables.read(NIGHTS))
    frames = (_work(runs), _seconds(runs), _audits(results), ends)
    work, seconds, audits, nights = at_once(partial(_rows, frame) for frame in frames)
    lines = night_lines(work, seconds, audits, nights)
    return lines[:MOST_NIGHTS]


def night_lines(
    work: Iterable[Row], seconds: Iterable[Row], audits: Iterable[Row], nights: Iterable[Row]
) -> list[NightLine]:
    """Put together what the ledgers say, newest night first.

    Args:
        work: ds, rows, quarantined, encoded, spared.
        seconds: ds, seconds.
        audits: ds, coverage, checks, failed.
        nights: ds, state: a row each time that publish or the audit said something.
    """
    counted, timed, audited = (_by_night(rows) for rows in (work, seconds, audits))
    said: dict[Night, list[str]] = {}
    for row in nights:
        said.setdefault(Night(row["ds"]), []).append(row["state"])
    return [
        NightLine(
            night=night,
            state=night_state(said.get(night, [])),
            **{
                name: (counted[night][name] or 0) if night in counted else 0
                for name in ("rows", "encoded", "spared", "quarantined")
            },
            coverage=audited[night]["coverage"] if night in audited else None,
            seconds=timed[night]["seconds"] if night in timed else None,
            checks=audited[night]["checks"] if night in audited else 0,
            failed=audited[night]["failed"] if night in audited else 0,
        )
        for night in sorted({*counted, *audited, *said}, reverse=True)
    ]


def _work(runs: DataFrame) -> DataFrame:
    """Rows that came in, and what the models read of them: ds, rows, quarantined, encoded,
    spared."""
    is_feed = F.col("stage") == F.lit("ingest")
    return (
        runs.filter(F.col("stage") != F.lit(STAGE))
        .groupBy("ds")
        .agg(
            F.sum(F.when(is_feed, F.col("rows_in"))).alias("rows"),
            F.sum("rows_quarantined").alias("quarantined"),
            F.sum("rows_encoded").alias("encoded"),
            F.sum("rows_spared").alias("spared"),
        )
    )


def _seconds(runs: DataFrame) -> DataFrame:
    """ds, seconds of all stages; null where they were not recorded."""
    stages = runs.filter(F.col("stage") != F.lit(STAGE)).groupBy("ds", "stage")
    of_stage = stages.agg(F.max("stage_seconds").alias("seconds"))
    return of_stage.groupBy("ds").agg(F.sum("seconds").alias("seconds"))


def _audits(results: DataFrame) -> DataFrame:
    """ds, the least coverage, the number of checks and of those that failed."""
    is_coverage = F.col("check_name") == F.lit("coverage")
    return results.groupBy("ds").agg(
        F.min(F.when(is_coverage, F.col("observed"))).alias("coverage"),
        F.count("*").alias("checks"),
        F.count_if(~F.col("success")).alias("failed"),
    )


def _by_night(rows: Iterable[Row]) -> Mapping[Night, Row]:
    return {Night(row["ds"]): row for row in rows}


def _rows(frame: DataFrame) -> list[Row]:
    return list(frame.collect())
