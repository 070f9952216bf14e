import time
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pytest
from pyspark.errors import PythonException

from encoders.artifacts import InvalidArtifact
from spark_jobs.config import Config
from spark_jobs.contracts import STAGE_RUNS
from spark_jobs.nights import Night
from spark_jobs.stage import RowsLost, Run, Step, run_stage
from spark_jobs.tables import Tables
from spark_jobs.worker_errors import WorkerFailed


def test_run_stage_records_what_each_step_did(tables: Tables, night: Night) -> None:
    def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
        return [Step("feed", rows_in=5, rows_out=3, rows_quarantined=2)]

    for _ in range(2):
        run_stage("ingest", run, tables, Config(), night)

    rows = tables.read(STAGE_RUNS).collect()
    assert [(r["stage"], r["step"], r["rows_in"], r["rows_quarantined"]) for r in rows] == [
        ("ingest", "feed", 5, 2)
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


def test_what_a_worker_says_is_one_message(tables: Tables, night: Night) -> None:
    error = InvalidArtifact("encoder 'e': the hash of model.safetensors is another.")

    with pytest.raises(WorkerFailed) as failed:
        run_stage("item_embeddings", stage_whose_worker_raises(error), tables, Config(), night)

    said = (
        "item_embeddings, night 2026-01-31: encoder 'e': the hash of model.safetensors is another."
    )
    assert str(failed.value) == said


def test_an_error_of_a_worker_that_is_not_ours_stays_as_it_is(tables: Tables, night: Night) -> None:
    run = stage_whose_worker_raises(ZeroDivisionError("one by none"))

    with pytest.raises(PythonException, match="ZeroDivisionError: one by none"):
        run_stage("item_embeddings", run, tables, Config(), night)
