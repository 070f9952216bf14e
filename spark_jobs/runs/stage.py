"""Stages of a night: run one, check and record its row counts, and start it by spark-submit."""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, ClassVar

import typer
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.config import Config, load_config
from spark_jobs.contracts import NIGHTS, STAGE_RUNS
from spark_jobs.engine.disk import GB, enough_disk
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.engine.session import build_session
from spark_jobs.engine.worker_errors import worker_errors_named
from spark_jobs.night import Night
from spark_jobs.warehouse.layout import Layout
from spark_jobs.warehouse.ledgers import step_label, without_backfills
from spark_jobs.warehouse.locks import warehouse_lock
from spark_jobs.warehouse.migration import migrate
from spark_jobs.warehouse.retention import check_staged
from spark_jobs.warehouse.schemas import schema
from spark_jobs.warehouse.tables import Tables

logger = logging.getLogger(__name__)

# The stages of a night in order, and their modules.
JOBS = {
    "ingest": "spark_jobs.ingest.job",
    "spu": "spark_jobs.spu.job",
    "item_embeddings": "spark_jobs.embeddings.items_job",
    "spu_embeddings": "spark_jobs.embeddings.spus_job",
    "user_embeddings": "spark_jobs.embeddings.users_job",
    "validation": "validation.job",
    "publish": "spark_jobs.publish.job",
    "materialize": "spark_jobs.publish.materialize_job",
    "reconcile": "spark_jobs.publish.reconcile_job",
    "report": "spark_jobs.report.job",
}
STAGES = tuple(JOBS)

# Copies of the staged rows that a stage writes: publish the served tables, materialize the online
# store with its index.
_COPIES = {"publish": 2, "materialize": 3}
STOPPED = 3  # exit status of commands and jobs


class NightStopped(ValueError):
    """A stage has stopped the night: its rows are not published. The message has the reason.

    Attributes:
        steps: steps of the stage, recorded like those of one that succeeded.
        reported: whether the night's report is written nevertheless.
    """

    steps: Sequence["Step"] = ()
    reported: ClassVar[bool] = False


class RowsLost(ValueError):
    """The rows that went into a step are not those that came out plus those quarantined."""


@dataclass(frozen=True)
class Step:
    """Row counts of one step: a feed that was read or a table that was written.

    Attributes:
        rows_in: rows the step was given; must be ``rows_out + rows_quarantined``.
        rows_encoded: inputs that a model has encoded; None where no model is involved.
        rows_reused: inputs whose vector existed already; the column ``rows_spared``.
        remarks: lines for the person who runs the stage; not recorded, since they quote rows.
        encoder_version: encoder whose rows the step wrote; None where it has none.
        files: files that the step read, with their ``lines`` and ``bytes`` on disk; None where it
            read tables, and where they were not counted.
    """

    name: str
    rows_in: int
    rows_out: int
    rows_quarantined: int = 0
    rows_encoded: int | None = None
    rows_reused: int | None = None
    seconds: float = 0.0
    remarks: tuple[str, ...] = field(default=(), repr=False)
    encoder_version: str | None = None
    files: int | None = None
    lines: int | None = None
    bytes: int | None = None

    @property
    def label(self) -> str:
        """Return the step for people, with its encoder version if it has one."""
        return step_label(self.name, self.encoder_version)


Run = Callable[[Tables, Config, Night], Sequence[Step]]


def run_stage(name: str, run: Run, tables: Tables, config: Config, night: Night) -> Sequence[Step]:
    """Run a stage, check that no row was lost, and record its steps in ``stage_runs``.

    Raises:
        NightStopped: the stage has stopped the night.
        RowsLost: rows in are not rows out plus rows quarantined.
        DiskFull: there is too little free disk space to start, or it ran out.
        StagedRowsRemoved: maintenance has removed staged rows that the stage reads.
        WorkerFailed: a worker raised an exception of this project, such as InvalidArtifact.
        OutOfMemory: a worker was killed, or ran out of memory.
        FileDamaged: a data file cannot be read.
    """
    started = time.monotonic()
    logger.info("%s night=%s started", name, night)
    check_staged(tables, night, name)
    try:
        with (
            enough_disk(
                tables.warehouse,
                config.min_free_gb * GB,
                night,
                name,
                writes=_COPIES.get(name, 0) * tables.layout.staged_bytes(night),
            ),
            worker_errors_named(f"{name}, night {night}"),
        ):
            steps = run(tables, config, night)
    except NightStopped as stopped:
        if stopped.steps:
            record_steps(tables, night, name, stopped.steps, time.monotonic() - started)
        raise
    for step in steps:
        if step.rows_in != step.rows_out + step.rows_quarantined:
            raise RowsLost(
                f"{name}, {step.label}, night {night}: {step.rows_in} rows in, but "
                f"{step.rows_out} out and {step.rows_quarantined} quarantined. "
                "This is a bug of the stage: please report it. Nothing was published."
            )
        logger.info("%s %s night=%s %s", name, step.label, night, step)
    record_steps(tables, night, name, steps, time.monotonic() - started)
    logger.info("%s night=%s done in %.1f s", name, night, time.monotonic() - started)
    return steps


def record_steps(
    tables: Tables, night: Night, stage: str, steps: Sequence[Step], seconds: float
) -> None:
    """Record the steps of a stage in ``stage_runs``.

    Args:
        seconds: of the whole stage.
    """
    kinds = {column.name: column.dataType.simpleString() for column in schema(STAGE_RUNS)}
    recorded = [
        {
            **asdict(step),
            "step": step.name,
            "rows_spared": step.rows_reused,
            "stage_seconds": seconds,
        }
        for step in steps
    ]
    filled_in = ("ds", "stage", "release", "created_timestamp")
    columns = [name for name in kinds if name not in filled_in]
    rows = [tuple(values[name] for name in columns) for values in recorded]
    ddl = ", ".join(f"{column} {kinds[column]}" for column in columns)
    tables.record(local_frame(tables.spark, rows, ddl), STAGE_RUNS, night, stage)


def record_state(tables: Tables, night: Night, stage: str, problems: Sequence[str]) -> None:
    """Record in ``nights`` that a stage stopped the night, or remove an earlier attempt's record.

    Args:
        problems: why the night was stopped; empty where it was not.
    """
    if not problems and tables.recorded(NIGHTS, night, stage).isEmpty():
        return
    rows = [("failed", "; ".join(problems))] if problems else []
    tables.record(
        local_frame(tables.spark, rows, "state string, detail string"), NIGHTS, night, stage
    )


def by_nights(ledger: DataFrame) -> DataFrame:
    """Return the rows of nights' stages; backfills and maintenance write to the same ledgers."""
    return without_backfills(ledger).filter(F.col("stage").isin(*STAGES))


def job_main(name: str, run: Run) -> None:
    """Run a stage's module as a script: ``job.py --config FILE --ds YYYY-MM-DD``.

    The exit status is ``STOPPED`` where the stage stops the night.
    """

    def main(
        config: Annotated[str, typer.Option(help="TOML file, see spark_jobs/conf/")],
        ds: Annotated[str, typer.Option(help="night, YYYY-MM-DD")],
    ) -> None:
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr
        )
        settings, night = load_config(config), Night.parse(ds)
        with warehouse_lock(settings.warehouse):
            spark = build_session(
                settings.spark,
                name=f"embedmill {name} {night}",
                scratch=Layout.of(settings.warehouse).tmp,
            )
            tables = Tables(spark, settings.warehouse)
            migrate(tables)
            try:
                for step in run_stage(name, run, tables, settings, night):
                    for remark in step.remarks:
                        logger.info("%s, %s: %s", name, step.label, remark)
            except NightStopped as stopped:
                logger.error("%s", stopped)
                sys.exit(STOPPED)

    typer.run(main)
