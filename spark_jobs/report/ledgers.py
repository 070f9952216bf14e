"""Ledgers: what do ``stage_runs``, ``audit_results``, ``nights`` and the others say of a night?"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

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
from spark_jobs.engine.concurrency import at_once
from spark_jobs.night import Night
from spark_jobs.releases.release import Release
from spark_jobs.report.facts import Check, Ledger, Refusal, State, StepRun
from spark_jobs.report.view import View
from spark_jobs.runs.stage import by_nights
from spark_jobs.warehouse.tables import Tables

# The report's own row is there when it is written again, and not the first time.
STAGE = "report"


class NothingToReport(LookupError):
    """The ledgers do not know the night."""


def read_ledger(tables: Tables, night: Night, order: Sequence[str]) -> Ledger:
    """Gather what the ledgers say of a night.

    Args:
        order: stages in the order in which a night runs them.

    Raises:
        NothingToReport: no stage has run in the night.
    """
    steps, refusals, checks, nights, releases = at_once(
        [
            partial(_rows, of_night(tables, STAGE_RUNS, night)),
            partial(_rows, _refusals(of_night(tables, QUARANTINE, night))),
            partial(_rows, of_night(tables, AUDIT_RESULTS, night)),
            partial(_rows, by_nights(tables.read(NIGHTS)).filter(F.col("ds") <= F.lit(night.ds))),
            partial(_rows, tables.read(RELEASES)),
        ]
    )
    runs = step_runs(steps, order)
    if not runs and not checks:
        raise NothingToReport(
            f"night {night} has no row in {tables.path(STAGE_RUNS)}: no stage has run in it. "
            f"Run it first: embedmill run --config CONFIG --ds {night}"
        )
    tonight = [row for row in nights if row["ds"] == night.ds]
    state = night_state(row["state"] for row in tonight)
    events = View(tables, night, state == "published").of_tonight(SPU_EVENTS)
    return Ledger(
        night=night,
        state=state,
        republished=state == "stopped" and any(row["state"] == "published" for row in tonight),
        steps=runs,
        refusals=sorted((Refusal(**row.asDict()) for row in refusals), key=_refusal_order),
        checks=to_checks(checks),
        releases=releases_at(releases, _moment(tonight)),
        changes={row["event"]: row["count"] for row in events.groupBy("event").count().collect()},
        previous=max((Night(row["ds"]) for row in nights if row["ds"] < night.ds), default=None),
    )


def of_night(tables: Tables, table: Table, night: Night) -> DataFrame:
    """Return a ledger's rows of a night."""
    return by_nights(tables.read(table)).filter(F.col("ds") == F.lit(night.ds))


def step_runs(rows: Iterable[Row], order: Sequence[str]) -> list[StepRun]:
    """Put the rows of ``stage_runs`` in the order of the stages, without the report's own."""
    names = StepRun.__dataclass_fields__
    runs = [StepRun(**{name: row[name] for name in names}) for row in rows]
    ranks = {stage: rank for rank, stage in enumerate(order)}
    kept = [run for run in runs if run.stage != STAGE]
    return sorted(kept, key=lambda run: (ranks.get(run.stage, len(ranks)), run.stage, run.label))


def to_checks(rows: Iterable[Row]) -> list[Check]:
    """Return the checks, by table and name."""
    found = [
        Check(
            table=row["table_name"],
            **{name: row[name] for name in Check.__dataclass_fields__ if name in row},
        )
        for row in rows
    ]
    return sorted(found, key=lambda check: (check.table, check.name))


def night_state(states: Iterable[str]) -> State:
    """Fold what publish and the audit said of a night; the audit takes back what is mended."""
    said = Counter(states)
    if said["failed"]:
        return "stopped"
    return "published" if said["published"] else "unfinished"


def releases_at(rows: Iterable[Row], moment: datetime | None) -> list[Release]:
    """Return the releases in the state in which they stood at a moment; now, if None."""
    latest: dict[str, Release] = {}
    for row in sorted(rows, key=lambda row: int(row["sequence"])):
        if moment is None or row["created_timestamp"] <= moment:
            latest[row["release"]] = Release(row["release"], row["state"], dict(row["encoders"]))
    return list(latest.values())


def _moment(tonight: Sequence[Row]) -> datetime | None:
    """When the night ended: a release that was promoted later was not live in it."""
    return max((row["created_timestamp"] for row in tonight), default=None)


def _refusals(quarantine: DataFrame) -> DataFrame:
    return (
        quarantine.groupBy("stage", "source", "reason", "scope")
        .agg(F.count("*").alias("rows"))
        .select("stage", "source", "reason", "scope", "rows")
    )


def _refusal_order(refusal: Refusal) -> tuple[int, str, str, str, str]:
    return (-refusal.rows, refusal.stage, refusal.source, refusal.reason, refusal.scope)


def _rows(frame: DataFrame) -> list[Row]:
    return list(frame.collect())
