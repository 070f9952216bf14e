"""Run the stages of a night in order, under one lock of the warehouse."""

import importlib
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from threading import Thread

from spark_jobs.config import Config
from spark_jobs.night import Night
from spark_jobs.runs.stage import JOBS, STAGES, NightStopped, Run, Step, run_stage
from spark_jobs.warehouse.locks import warehouse_lock
from spark_jobs.warehouse.migration import migrate
from spark_jobs.warehouse.tables import Tables

REPORT = "report"

# Modules that take seconds to import in the driver, by the first stage that needs them.
_IMPORTS = {"validation": "validation.audit", "materialize": "feast", "report": "sklearn.manifold"}

# Called with a stage's name, for as long as the stage runs.
Watch = Callable[[str], AbstractContextManager[object]]


class UnknownStage(ValueError):
    """A stage is unknown, or the last stage comes before the first."""


@dataclass(frozen=True)
class StageResult:
    """Steps and duration of one stage of a night."""

    stage: str
    steps: Sequence[Step]
    seconds: float


def stages_between(first: str, last: str) -> tuple[str, ...]:
    """Return the stages from ``first`` to ``last``, both included.

    Raises:
        UnknownStage: a name is not one of ``STAGES``, or ``last`` comes before ``first``.
    """
    unknown = sorted({first, last} - set(STAGES))
    if unknown:
        raise UnknownStage(
            f"there is no stage {', '.join(map(repr, unknown))}. Name one of {', '.join(STAGES)}."
        )
    start, stop = STAGES.index(first), STAGES.index(last)
    if stop < start:
        raise UnknownStage(
            f"--to {last!r} comes before --from {first!r}. The order is {', '.join(STAGES)}."
        )
    return STAGES[start : stop + 1]


def run_night(
    tables: Tables,
    config: Config,
    night: Night,
    *,
    stages: Sequence[str] = STAGES,
    watch: Watch = lambda stage: nullcontext(),
) -> list[StageResult]:
    """Run stages of a night one after the other, with the warehouse's lock held.

    A night that the audit stops still gets its report, which shows the failed checks.

    Raises:
        WarehouseBusy: another run is writing to the warehouse.
        Exception: that of a stage; the stages after it do not run.
    """

    def run(stage: str) -> StageResult:
        started = time.monotonic()
        with watch(stage):
            steps = run_stage(stage, load_stage(stage), tables, config, night)
        return StageResult(stage, steps, time.monotonic() - started)

    import_ahead(_IMPORTS[stage] for stage in stages if stage in _IMPORTS)
    with warehouse_lock(tables.warehouse):
        migrate(tables)
        try:
            return [run(stage) for stage in stages]
        except NightStopped as stopped:
            if stopped.reported and REPORT in stages:
                _report_on(stopped, run, tables.layout.report(night))
            raise


def _report_on(stopped: NightStopped, run: Callable[[str], StageResult], path: str) -> None:
    """Write the report of a stopped night; an error of the report becomes a note on ``stopped``."""
    try:
        run(REPORT)
    except Exception as error:
        stopped.add_note(str(error))
    else:
        stopped.add_note(f"The night's report: {path}")


def import_ahead(modules: Iterable[str]) -> None:
    """Import modules in a thread, while Spark works and this process waits for it."""
    names = tuple(modules)

    def load() -> None:
        for name in names:
            # A module that cannot be imported raises its error where it is used.
            with suppress(Exception):
                importlib.import_module(name)

    Thread(target=load, name="import-ahead", daemon=True).start()


def load_stage(stage: str) -> Run:
    """Import a stage when it is needed: Great Expectations and Feast take seconds to import."""
    if stage not in JOBS:
        raise UnknownStage(f"there is no stage {stage!r}. Name one of {', '.join(STAGES)}.")
    run: Run = importlib.import_module(JOBS[stage]).run
    return run
