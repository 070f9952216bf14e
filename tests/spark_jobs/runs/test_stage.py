import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pyarrow as pa
import pytest
from pyspark.errors import PythonException

from encoders.artifacts import InvalidArtifact
from spark_jobs.config import Config
from spark_jobs.contracts import STAGE_RUNS
from spark_jobs.engine.disk import DiskFull, free_bytes
from spark_jobs.engine.worker_errors import FileDamaged, OutOfMemory, WorkerFailed
from spark_jobs.night import Night
from spark_jobs.runs.stage import JOBS, NightStopped, RowsLost, Run, Step, run_stage
from spark_jobs.warehouse.layout import Layout
from spark_jobs.warehouse.tables import Tables


@pytest.mark.parametrize("job", [*JOBS.values(), "spark_jobs.operations.maintenance.job"])
def test_nothing_beside_a_job_hides_a_package(job: str) -> None:
    """spark-submit looks in the job's own folder first: requests.py there is Feast's requests."""
    folder = Path(*job.split(".")[:-1])
    beside = {path.stem for path in (Path(__file__).resolve().parents[3] / folder).iterdir()}

    assert not beside & ({*packages_distributions()} | sys.stdlib_module_names)


def test_run_stage_records_what_each_step_did(tables: Tables, night: Night) -> None:
    def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
        counts = {"rows_in": 5, "rows_out": 3, "rows_quarantined": 2}
        return [Step("feed", **counts), Step("items", 1, 1, encoder_version="cope@aa")]

    for _ in range(2):
        run_stage("ingest", run, tables, Config(), night)

    columns = ("stage", "release", "step", "encoder_version", "rows_in", "rows_quarantined")
    rows = tables.read(STAGE_RUNS).orderBy("step").select(*columns).collect()
    assert [tuple(row) for row in rows] == [
        ("ingest", None, "feed", None, 5, 2),
        ("ingest", None, "items", "cope@aa", 1, 0),
    ]


def test_run_stage_records_how_long_the_whole_stage_took(tables: Tables, night: Night) -> None:
    def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
        time.sleep(0.02)
        return [Step("a", rows_in=1, rows_out=1), Step("b", rows_in=1, rows_out=1)]

    run_stage("spu", run, tables, Config(), night)

    (first, second) = tables.read(STAGE_RUNS).orderBy("step").collect()
    assert first["stage_seconds"] == second["stage_seconds"] >= 0.02


def test_run_stage_refuses_a_step_that_lost_rows(tables: Tables, night: Night) -> None:
    def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
        return [Step("feed", rows_in=5, rows_out=3)]

    with pytest.raises(RowsLost, match="5 rows in, but 3 out and 0 quarantined"):
        run_stage("ingest", run, tables, Config(), night)

    assert tables.read(STAGE_RUNS).isEmpty()


def stage_whose_worker_raises(error: Exception) -> Run:
    def work(_: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        raise error

    def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
        tables.spark.range(1).mapInArrow(work, "id bigint").collect()
        return []

    return run


def test_an_error_of_ours_in_a_worker_is_one_message(tables: Tables, night: Night) -> None:
    error = InvalidArtifact("encoder 'e': the hash of model.safetensors is another.")

    with pytest.raises(WorkerFailed) as failed:
        run_stage("item_embeddings", stage_whose_worker_raises(error), tables, Config(), night)

    assert str(failed.value) == (
        "item_embeddings, night 2026-01-31: encoder 'e': the hash of model.safetensors is another."
    )


def test_another_error_of_a_worker_is_raised_unchanged(tables: Tables, night: Night) -> None:
    run = stage_whose_worker_raises(ZeroDivisionError("one by none"))

    with pytest.raises(PythonException, match="ZeroDivisionError: one by none"):
        run_stage("item_embeddings", run, tables, Config(), night)


def test_the_task_of_a_killed_worker_is_retried(tables: Tables, night: Night, tmp_path) -> None:
    tried = tmp_path / "tried"

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        if not tried.exists():
            tried.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield from batches

    def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
        rows = tables.spark.range(3).mapInArrow(work, "id bigint").count()
        return [Step("rows", rows_in=rows, rows_out=rows)]

    (step,) = run_stage("item_embeddings", run, tables, Config(), night)

    assert step.rows_out == 3


def killed(_: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    os.kill(os.getpid(), signal.SIGKILL)
    yield from ()


def out_of_memory(_: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    raise MemoryError


@pytest.mark.parametrize("work", [killed, out_of_memory])
def test_a_worker_without_memory_is_one_message_with_the_setting_to_lower(
    work: Callable, tables: Tables, night: Night
) -> None:
    def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
        tables.spark.range(1).mapInArrow(work, "id bigint").collect()
        return []

    with pytest.raises(OutOfMemory) as failed:
        run_stage("item_embeddings", run, tables, Config(), night)

    message = str(failed.value)
    assert message.startswith("item_embeddings, night 2026-01-31: a Python worker ")
    assert "Lower encoding.buffer_rows or encoding.batch_size" in message
    assert len(message) < 500


def test_a_damaged_data_file_is_one_message_with_its_path(tables: Tables, night: Night) -> None:
    def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
        rows = tables.read(STAGE_RUNS).count()
        return [Step("rows", rows_in=rows, rows_out=rows)]

    run_stage("spu", run, tables, Config(), night)
    (file,) = Path(tables.path(STAGE_RUNS)).rglob("part-*.parquet")
    content = bytearray(file.read_bytes())
    content[40] ^= 1
    file.write_bytes(content)

    def reread(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
        tables.read(STAGE_RUNS).collect()
        return []

    with pytest.raises(FileDamaged) as failed:
        run_stage("report", reread, tables, Config(), night)

    assert str(failed.value).startswith("report, night 2026-01-31: the data file ")
    assert str(file) in str(failed.value)
    assert "Restore it from a copy" in str(failed.value)


def test_publish_needs_free_space_for_copies_of_the_staged_rows(
    tmp_path: Path, night: Night
) -> None:
    folder = tmp_path / "staged" / "items" / f"ds={night}"
    folder.mkdir(parents=True)
    free = free_bytes(str(tmp_path))
    assert free is not None
    with (folder / "part.parquet").open("wb") as file:
        file.truncate(free)  # sparse: it takes no space itself
    # Of a backfill, since a night's stage would look for its staged rows with Spark.
    tables = SimpleNamespace(
        backfills="r2", warehouse=str(tmp_path), layout=Layout.of(str(tmp_path))
    )

    def stage(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
        raise NightStopped("the stage has run")

    config = Config(min_free_gb=0)
    with pytest.raises(NightStopped, match="the stage has run"):
        run_stage("spu", stage, cast(Tables, tables), config, night)
    with pytest.raises(DiskFull, match="publish"):
        run_stage("publish", stage, cast(Tables, tables), config, night)
