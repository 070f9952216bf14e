"""Texts of Spark's failures, and the one message that each becomes."""

import pytest
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from spark_jobs.engine.disk import is_disk_full
from spark_jobs.engine.worker_errors import (
    FileDamaged,
    OutOfMemory,
    WorkerFailed,
    text_of,
    worker_errors_named,
)

HEAD = "An error occurred while calling o95.collectToPython.\n: org.apache.spark.SparkException: "
STACK = "\n\tat org.apache.spark.sql.execution.SparkPlan.execute(SparkPlan.scala:402)" * 90


@pytest.mark.parametrize(
    ("trace", "kind", "part"),
    [
        (f"{HEAD}Python worker exited unexpectedly (crashed).{STACK}", OutOfMemory, "was killed"),
        (
            f"{HEAD}ExecutorLostFailure (executor 1 exited caused by one of the running tasks) "
            "Reason: Container killed by YARN for exceeding memory limits. 9.1 GB of 9 GB used.",
            OutOfMemory,
            "spark.executor.memoryOverhead",
        ),
        (
            f"{HEAD}ExecutorLostFailure (executor 1) The executor exited with exit code 137"
            "(SIGKILL, possible container OOM).",
            OutOfMemory,
            "was killed",
        ),
        (f"Traceback (most recent call last):\nMemoryError: 8 GiB{STACK}", OutOfMemory, "Lower"),
        (
            "RuntimeError: [enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate "
            "memory: you tried to allocate 4000000000000 bytes.",
            OutOfMemory,
            "encoding.batch_size",
        ),
        (
            "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
            OutOfMemory,
            "encoding.batch_size",
        ),
        (
            f"{HEAD}Job aborted{STACK}\nCaused by: java.lang.OutOfMemoryError: Java heap space",
            OutOfMemory,
            "spark.driver_memory",
        ),
        (
            f"{HEAD}[FAILED_READ_FILE.NO_HINT] Encountered error while reading file "
            f"file:/w%20h/items/part-0.snappy.parquet.  SQLSTATE: KD001{STACK}\n"
            "Caused by: org.apache.parquet.io.ParquetDecodingException: could not verify page "
            f"integrity, CRC checksum verification failed{STACK}",
            FileDamaged,
            "file:/w h/items/part-0.snappy.parquet cannot be read: could not verify page integrity",
        ),
        (
            f"Traceback:\nencoders.artifacts.InvalidArtifact: the hash is another.{STACK}",
            WorkerFailed,
            "the hash is another.",
        ),
    ],
)
def test_a_known_failure_is_one_short_message(trace: str, kind: type, part: str) -> None:
    with pytest.raises(kind) as failed, worker_errors_named("spu, night 2026-01-31"):
        raise PySparkException(trace)

    message = str(failed.value)
    assert message.startswith("spu, night 2026-01-31: ")
    assert part in message
    assert "\n" not in message
    assert len(message) < 500


class FromJava(Py4JError):
    """An error whose text Java keeps."""

    def __str__(self) -> str:
        raise ConnectionRefusedError(111, "Connection refused")


def test_a_java_that_was_killed_is_one_short_message() -> None:
    error = FromJava()

    with (
        pytest.raises(OutOfMemory, match="spu: Java has ended") as failed,
        worker_errors_named("spu"),
    ):
        raise error

    assert text_of(error) == "Answer from Java side is empty"
    assert not is_disk_full(failed.value)
    assert not is_disk_full(error)


def test_an_unknown_failure_is_raised_unchanged() -> None:
    error = PySparkException("[DIVIDE_BY_ZERO] Division by zero.")

    with pytest.raises(PySparkException) as failed, worker_errors_named("spu"):
        raise error

    assert failed.value is error
