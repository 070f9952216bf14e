"""Sections: the figures of the page's tables, computed from the ledgers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from spark_jobs.report.model import Check, Ledger, SpuMap, StepRun

# A gauge ends at half as much again as is tolerated.
_GAUGE_END = 1.5
# The value of no drift at all, where that is not 0.
_NO_EFFECT: Mapping[str, float] = {"classifier_auc": 0.5}

EFFECTS: Mapping[str, str] = {
    "mean_shift": "Shift of the mean, in standard deviations",
    "classifier_auc": "Classifier that tells new from old, AUC",
    "mmd": "Squared mean discrepancy",
    "norm_shift": "Shift of the length of vectors",
}


@dataclass(frozen=True)
class StageRows:
    """The rows of a stage, over its steps."""

    stage: str
    steps: Sequence[StepRun]

    @property
    def rows_in(self) -> int:
        return sum(step.rows_in for step in self.steps)

    @property
    def rows_out(self) -> int:
        return sum(step.rows_out for step in self.steps)

    @property
    def rows_quarantined(self) -> int:
        return sum(step.rows_quarantined for step in self.steps)


@dataclass(frozen=True)
class StageTime:
    """A stage in the table of times.

    Attributes:
        seconds: None where they were not recorded.
        share: of the slowest stage's time.
    """

    stage: str
    seconds: float | None
    rows: int
    rows_a_second: float | None
    share: float


@dataclass(frozen=True)
class Encoding:
    """Inputs of one step that a model encoded, and those whose vectors were there already."""

    stage: str
    table: str
    encoder: str
    encoded: int
    reused: int
    seconds: float
    contents_a_second: float | None

    @property
    def reused_share(self) -> float | None:
        inputs = self.encoded + self.reused
        return self.reused / inputs if inputs else None


@dataclass(frozen=True)
class DriftRow:
    """One effect size.

    Attributes:
        title: the effect as the page names it.
        gauge: how far the bar reaches, 0 to 1; None where nothing was measured.
        limit: where the mark of the limit is on the bar.
    """

    effect: str
    title: str
    check: Check
    gauge: float | None
    limit: float = 1 / _GAUGE_END


@dataclass(frozen=True)
class DriftTable:
    """The effect sizes of one table and encoder: of all vectors, or of those that changed."""

    table: str
    encoder: str
    changed: bool
    rows: Sequence[DriftRow]

    @property
    def nothing_measured(self) -> str | None:
        """Return why nothing was measured; None where something was."""
        if any(row.check.observed is not None for row in self.rows):
            return None
        return self.rows[0].check.seen


def stage_rows(ledger: Ledger) -> list[StageRows]:
    """Return the stages that have run, in order, with their steps."""
    return [
        StageRows(stage, [step for step in ledger.steps if step.stage == stage])
        for stage in ledger.stages
    ]


def stage_times(ledger: Ledger) -> list[StageTime]:
    """Return the stages that have run, in order, with their times."""
    stages = stage_rows(ledger)
    seconds = [stage.steps[0].stage_seconds for stage in stages]
    slowest = max((s for s in seconds if s is not None), default=0.0)
    return [
        StageTime(
            stage.stage,
            of_stage,
            stage.rows_in,
            _rate(stage.rows_in, of_stage),
            (of_stage or 0.0) / slowest if slowest else 0.0,
        )
        for stage, of_stage in zip(stages, seconds, strict=True)
    ]


def encodings(ledger: Ledger) -> list[Encoding]:
    """Return the steps that need vectors of an encoder."""
    return [
        _encoding(step, step.rows_encoded) for step in ledger.steps if step.rows_encoded is not None
    ]


def coverages(ledger: Ledger) -> list[Check]:
    """Return the checks of coverage."""
    return [check for check in ledger.checks if check.check_name == "coverage"]


def drift_tables(ledger: Ledger) -> list[DriftTable]:
    """Return the checks of drift by table, encoder, and whether only changed vectors count."""
    drifts = [check for check in ledger.checks if check.check_name == "no_drift"]
    ordered = sorted(drifts, key=_drift_key)
    return [
        DriftTable(table, encoder, changed, sorted(map(_drift_row, checks), key=_effect_order))
        for (table, encoder, changed), checks in groupby(ordered, key=_drift_key)
    ]


def worst_drift(ledger: Ledger) -> DriftRow | None:
    """Return the effect that is largest relative to its limit; None where nothing was measured."""
    rows = [row for table in drift_tables(ledger) for row in table.rows if row.gauge is not None]
    return max(rows, key=lambda row: (row.gauge or 0.0, row.check.name), default=None)


def audit_tables(ledger: Ledger) -> dict[str, list[Check]]:
    """Return the checks by table; failed checks, and tables with one, come first."""
    by_table: dict[str, list[Check]] = {}
    for check in sorted(ledger.checks, key=lambda check: (check.success, check.name)):
        by_table.setdefault(check.table, []).append(check)
    return dict(sorted(by_table.items(), key=lambda pair: (pair[1][0].success, pair[0])))


def total_seconds(ledger: Ledger) -> float | None:
    """Return the time of all stages; None where one was not recorded."""
    seconds = [time.seconds for time in stage_times(ledger)]
    known = [s for s in seconds if s is not None]
    return sum(known) if known and len(known) == len(seconds) else None


def encoded_and_reused(ledger: Ledger) -> tuple[int, int]:
    """Return how many inputs models encoded, and for how many the vectors were there already."""
    steps = encodings(ledger)
    return sum(step.encoded for step in steps), sum(step.reused for step in steps)


def points_by_group(spu_map: SpuMap) -> list[tuple[str, int]]:
    """Return the groups of the map with how many points each has."""
    groups = [point.group for point in spu_map.points]
    return [(name, groups.count(i)) for i, name in enumerate(spu_map.groups)]


def _encoding(step: StepRun, encoded: int) -> Encoding:
    return Encoding(
        stage=step.stage,
        table=step.step,
        encoder=step.encoder_version or "",
        encoded=encoded,
        reused=step.rows_reused or 0,
        seconds=step.seconds,
        contents_a_second=_rate(encoded, step.seconds) if encoded else None,
    )


def _drift_key(check: Check) -> tuple[str, str, bool]:
    return check.table, check.encoder_version or "", _measure(check).startswith("changed_")


def _effect_order(row: DriftRow) -> tuple[int, str]:
    known = list(EFFECTS)
    return (known.index(row.effect) if row.effect in known else len(known), row.effect)


def _drift_row(check: Check) -> DriftRow:
    effect = _measure(check).removeprefix("changed_").removeprefix("drift_")
    return DriftRow(effect, EFFECTS.get(effect, effect), check, _gauge(check, effect))


def _measure(check: Check) -> str:
    return check.measure or ""


def _gauge(check: Check, effect: str) -> float | None:
    """Return how far the bar reaches: the limit is at two thirds, the end at one."""
    if check.observed is None or check.at_most is None:
        return None
    start = _NO_EFFECT.get(effect, 0.0)
    if check.at_most <= start:
        return None
    part = (check.observed - start) / (check.at_most - start) / _GAUGE_END
    return min(max(part, 0.0), 1.0)


def _rate(count: int, seconds: float | None) -> float | None:
    return count / seconds if seconds else None
