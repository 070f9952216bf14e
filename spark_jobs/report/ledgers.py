"""Ledgers: one night, and all nights, as the ledgers of the warehouse record them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from spark_jobs.contracts import (
    AUDIT_RESULTS,
    NIGHTS,
    QUARANTINE,
    RELEASES,
    SPU_EVENTS,
    STAGE_RUNS,
    Table,
)
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.night import Night
from spark_jobs.releases.release import Release
from spark_jobs.report.model import Check, Ledger, NightLine, Refusal, State, StepRun
from spark_jobs.runs.stage import by_nights
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

# The report's own row is there when it is written again, and not the first time.
STAGE = "report"
# A year and a month: the index names no older nights, the ledgers do.
MOST_NIGHTS = 400


class NothingToReport(LookupError):
    """The ledgers have no row of the night."""


def step_run(row: Row) -> StepRun:
    """Return a row of ``stage_runs``."""
    return StepRun(
        stage=row["stage"],
        step=row["step"],
        encoder_version=row["encoder_version"],
        rows_in=row["rows_in"],
        rows_out=row["rows_out"],
        rows_quarantined=row["rows_quarantined"],
        rows_encoded=row["rows_encoded"],
        rows_reused=row["rows_spared"],
        seconds=row["seconds"],
        stage_seconds=row["stage_seconds"],
    )


def audit_check(row: Row) -> Check:
    """Return a row of ``audit_results``."""
    return Check(
        table=row["table_name"],
        check_name=row["check_name"],
        measure=row["measure"],
        step=row["step"],
        encoder_version=row["encoder_version"],
        success=row["success"],
        expected=row["expected"],
        seen=row["seen"],
        observed=row["observed"],
        at_least=row["at_least"],
        at_most=row["at_most"],
        advice=row["advice"],
    )


def night_state(states: Iterable[str]) -> State:
    """Return the state of a night from its rows in ``nights``; a failed audit outweighs publish."""
    recorded = set(states)
    if "failed" in recorded:
        return "stopped"
    return "published" if "published" in recorded else "unfinished"


def releases_at(rows: Iterable[Row], moment: datetime | None) -> list[Release]:
    """Return the releases in the state in which they stood at a moment; now, if None."""
    latest: dict[str, Release] = {}
    for row in sorted(rows, key=lambda row: int(row["sequence"])):
        if moment is None or row["created_timestamp"] <= moment:
            latest[row["release"]] = Release(row["release"], row["state"], dict(row["encoders"]))
    return list(latest.values())


def read_ledger(tables: Tables, night: Night, order: Sequence[str]) -> Ledger:
    """Read the rows of a night from the ledgers.

    Args:
        order: stages in the order in which a night runs them.

    Raises:
        NothingToReport: no stage has run in the night.
    """
    up_to_night = F.col("ds") <= F.lit(night.ds)
    steps, refusals, checks, nights, releases = run_concurrently(
        frame.collect
        for frame in (
            of_night(tables, STAGE_RUNS, night),
            of_night(tables, QUARANTINE, night)
            .groupBy("stage", "source", "reason", "scope")
            .agg(F.count("*").alias("rows")),
            of_night(tables, AUDIT_RESULTS, night),
            by_nights(tables.read(NIGHTS)).filter(up_to_night),
            tables.read(RELEASES),
        )
    )
    runs = in_stage_order(map(step_run, steps), order)
    if not runs and not checks:
        raise NothingToReport(
            f"night {night} has no row in {tables.path(STAGE_RUNS)}: no stage has run in it. "
            f"Run it first: embedmill run --config CONFIG --ds {night}"
        )
    own_states = [row for row in nights if row["ds"] == night.ds]
    state = night_state(row["state"] for row in own_states)
    # A release that was promoted after the night's end was not live in it.
    end = max((row["created_timestamp"] for row in own_states), default=None)
    events = snapshot_of(tables, night, state).changes(SPU_EVENTS)
    return Ledger(
        night=night,
        state=state,
        republished=state == "stopped" and any(row["state"] == "published" for row in own_states),
        steps=runs,
        refusals=sorted((Refusal(**row.asDict()) for row in refusals), key=_most_rows_first),
        checks=sorted(map(audit_check, checks), key=lambda check: (check.table, check.name)),
        releases=releases_at(releases, end),
        changes={row["event"]: row["count"] for row in events.groupBy("event").count().collect()},
        previous=max((Night(row["ds"]) for row in nights if row["ds"] < night.ds), default=None),
    )


def snapshot_of(tables: Tables, night: Night, state: State) -> Snapshot:
    """Return what was published of a night in such a state, or else what it staged."""
    return Snapshot(tables, night, "published" if state == "published" else "staged")


def of_night(tables: Tables, table: Table, night: Night) -> DataFrame:
    """Return a ledger's rows of a night; those of backfills and maintenance are not among them."""
    return by_nights(tables.read(table)).filter(F.col("ds") == F.lit(night.ds))


def in_stage_order(runs: Iterable[StepRun], order: Sequence[str]) -> list[StepRun]:
    """Put the steps in the order of the stages, without the report's own."""
    ranks = {stage: rank for rank, stage in enumerate(order)}
    kept = [run for run in runs if run.stage != STAGE]
    return sorted(kept, key=lambda run: (ranks.get(run.stage, len(ranks)), run.stage, run.label))


def _most_rows_first(refusal: Refusal) -> tuple[int, str, str, str, str]:
    return (-refusal.rows, refusal.stage, refusal.source, refusal.reason, refusal.scope)


def read_history(tables: Tables) -> list[NightLine]:
    """Return the last nights, newest first."""
    runs = by_nights(tables.read(STAGE_RUNS))
    of_night_stages = runs.filter(F.col("stage") != F.lit(STAGE))
    results, nights = by_nights(tables.read(AUDIT_RESULTS)), by_nights(tables.read(NIGHTS))
    frames = (work_by_night(of_night_stages), seconds_by_night(of_night_stages))
    work, seconds, audits, states = run_concurrently(
        frame.collect for frame in (*frames, audits_by_night(results), nights)
    )
    return night_lines(work, seconds, audits, states)[:MOST_NIGHTS]


def work_by_night(runs: DataFrame) -> DataFrame:
    """Return the rows of the feeds, and sums over all stages.

    Returns:
        ds, rows, quarantined, encoded, reused.
    """
    is_feed = F.col("stage") == F.lit("ingest")
    return runs.groupBy("ds").agg(
        F.sum(F.when(is_feed, F.col("rows_in"))).alias("rows"),
        F.sum("rows_quarantined").alias("quarantined"),
        F.sum("rows_encoded").alias("encoded"),
        F.sum("rows_spared").alias("reused"),
    )


def seconds_by_night(runs: DataFrame) -> DataFrame:
    """Return the seconds of all stages; null where they were not recorded: ds, seconds."""
    of_stage = runs.groupBy("ds", "stage").agg(F.max("stage_seconds").alias("seconds"))
    return of_stage.groupBy("ds").agg(F.sum("seconds").alias("seconds"))


def audits_by_night(results: DataFrame) -> DataFrame:
    """Return the least coverage and the number of checks: ds, coverage, checks, failed."""
    is_coverage = F.col("check_name") == F.lit("coverage")
    return results.groupBy("ds").agg(
        F.min(F.when(is_coverage, F.col("observed"))).alias("coverage"),
        F.count("*").alias("checks"),
        F.count_if(~F.col("success")).alias("failed"),
    )


def night_lines(
    work: Iterable[Row], seconds: Iterable[Row], audits: Iterable[Row], nights: Iterable[Row]
) -> list[NightLine]:
    """Join the figures of the ledgers by night, newest first.

    Args:
        work: ds, rows, quarantined, encoded, reused.
        seconds: ds, seconds.
        audits: ds, coverage, checks, failed.
        nights: ds, state: a row each time that publish or the audit recorded one.
    """
    counts: dict[Night, dict[str, Any]] = {}
    for row in (*work, *seconds, *audits):
        counts.setdefault(Night(row["ds"]), {}).update(row.asDict())
    states: dict[Night, list[str]] = {}
    for row in nights:
        states.setdefault(Night(row["ds"]), []).append(row["state"])
    return [
        _night_line(night, counts.get(night, {}), states.get(night, []))
        for night in sorted({*counts, *states}, reverse=True)
    ]


def _night_line(night: Night, counts: Mapping[str, Any], states: Iterable[str]) -> NightLine:
    added = ("rows", "encoded", "reused", "quarantined", "checks", "failed")
    return NightLine(
        night=night,
        state=night_state(states),
        coverage=counts.get("coverage"),
        seconds=counts.get("seconds"),
        **{name: counts.get(name) or 0 for name in added},
    )
