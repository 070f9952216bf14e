"""Failures inside Spark, each as one message in place of Java's trace."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

# The last line of a worker's traceback, where the error is of one of our modules.
_OURS = re.compile(r"^(?:encoders|spark_jobs)\.[\w.]+: (?P<message>.+)$", re.MULTILINE)
_KILLED = re.compile(
    r"Python worker exited unexpectedly|ExecutorLostFailure .*(?:exit code 137|memory limits)"
)
_NO_MEMORY = re.compile(
    r"^(?:MemoryError\b|RuntimeError: .*DefaultCPUAllocator|torch\.\S*OutOfMemoryError)",
    re.MULTILINE,
)
_NO_HEAP = re.compile(r"java\.lang\.OutOfMemoryError: (?:Java heap space|GC overhead)")
_UNREADABLE = re.compile(r"FAILED_READ_FILE.*?while reading file (?P<file>\S+?)\.\s")
_CAUSE = re.compile(r"^Caused by: (?:[\w.$]+: )?(?P<cause>.+)$", re.MULTILINE)

_FEWER_ROWS = (
    "Lower encoding.buffer_rows or encoding.batch_size, or the number of workers, N of "
    'spark.master = "local[N]"; on a cluster raise spark.executor.memoryOverhead. '
    "Then run the stage again: what was finished is kept."
)


class WorkerFailed(RuntimeError):
    """A worker ended with an error of ours."""


class OutOfMemory(RuntimeError):
    """A worker, or Java, had too little memory for what it was given."""


class FileDamaged(RuntimeError):
    """A data file cannot be read, or its checksums do not fit what it holds."""


@contextmanager
def worker_errors_named(where: str) -> Iterator[None]:
    """Turn what is known of Spark's failures into one message; others are left as they are.

    Args:
        where: stage and night, for the message.

    Raises:
        WorkerFailed: a worker ended with an error of ours.
        OutOfMemory: a worker was killed, as a rule for memory, or had none left.
        FileDamaged: a data file cannot be read.
    """
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        known = _known(str(error), where)
        if known is None:
            raise
        raise known from None  # Spark's log has the trace


def _known(trace: str, where: str) -> RuntimeError | None:
    if ours := _OURS.search(trace):
        return WorkerFailed(f"{where}: {ours['message']}")
    if _KILLED.search(trace):
        return OutOfMemory(
            f"{where}: a Python worker was killed each time it was tried, most likely because the "
            f"machine had no memory left. {_FEWER_ROWS}"
        )
    if _NO_MEMORY.search(trace):
        return OutOfMemory(f"{where}: a Python worker had no memory left. {_FEWER_ROWS}")
    if _NO_HEAP.search(trace):
        return OutOfMemory(
            f"{where}: Java had no memory left. Raise spark.driver_memory; on a cluster "
            "spark.executor.memory. Then run the stage again."
        )
    if unreadable := _UNREADABLE.search(trace):
        return FileDamaged(_damaged(where, unquote(unreadable["file"]), trace))
    return None


def _damaged(where: str, file: str, trace: str) -> str:
    causes = _CAUSE.findall(trace)
    return (
        f"{where}: the data file {file} cannot be read: {causes[-1] if causes else 'no reason'}. "
        "Its bytes are not those that were written, or it is gone. Restore the file from a copy of "
        "the warehouse; a staged one is written anew where its night is run again. "
        "Nothing was changed."
    )
