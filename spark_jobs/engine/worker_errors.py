"""Worker errors: known failures inside Spark, each as one message in place of Java's trace."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

# Last line of a worker's traceback, for an exception class of this project.
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

# Py4J's words for a Java that is gone.
_JAVA_ENDED = "Answer from Java side is empty"
_NO_ANSWER = (_JAVA_ENDED, "Error while sending or receiving")

_FEWER_ROWS = (
    "Lower encoding.buffer_rows or encoding.batch_size, or the number of workers, N of "
    'spark.master = "local[N]"; on a cluster raise spark.executor.memoryOverhead. '
    "Then run the stage again: finished work is kept."
)


class WorkerFailed(RuntimeError):
    """A worker raised an exception of this project."""


class OutOfMemory(RuntimeError):
    """A worker, or Java, ran out of memory."""


class FileDamaged(RuntimeError):
    """A data file cannot be read, or its checksums do not match its content."""


@contextmanager
def worker_errors_named(where: str) -> Iterator[None]:
    """Turn known failures of Spark into one message; raise others unchanged.

    Args:
        where: stage and night, for the message.

    Raises:
        WorkerFailed: a worker raised an exception of this project.
        OutOfMemory: a worker was killed, most likely for lack of memory, or ran out of memory.
        FileDamaged: a data file cannot be read.
    """
    try:
        yield
    except (PySparkException, Py4JError) as error:
        known = _known(text_of(error), where)
        if known is None:
            raise
        raise known from None  # Spark's log has the trace


def text_of(error: BaseException) -> str:
    """Return the text of an error; Java keeps that of its own, and may have ended."""
    try:
        return str(error)
    except (Py4JError, OSError):
        return _JAVA_ENDED


def _known(trace: str, where: str) -> RuntimeError | None:
    if ours := _OURS.search(trace):
        return WorkerFailed(f"{where}: {ours['message']}")
    if _KILLED.search(trace):
        return OutOfMemory(
            f"{where}: a Python worker was killed at each attempt, most likely because the machine "
            f"ran out of memory. {_FEWER_ROWS}"
        )
    if _NO_MEMORY.search(trace):
        return OutOfMemory(f"{where}: a Python worker ran out of memory. {_FEWER_ROWS}")
    if any(text in trace for text in _NO_ANSWER):
        return OutOfMemory(
            f"{where}: Java has ended, most likely killed because the machine ran out of memory. "
            "Lower spark.driver_memory and the number of workers, or let less run beside it. Then "
            "run the stage again: finished work is kept."
        )
    if _NO_HEAP.search(trace):
        return OutOfMemory(
            f"{where}: Java ran out of memory. Raise spark.driver_memory, or on a cluster "
            "spark.executor.memory. Then run the stage again."
        )
    if unreadable := _UNREADABLE.search(trace):
        return FileDamaged(_damaged(where, unquote(unreadable["file"]), trace))
    return None


def _damaged(where: str, file: str, trace: str) -> str:
    causes = _CAUSE.findall(trace)
    return (
        f"{where}: the data file {file} cannot be read: "
        f"{causes[-1] if causes else 'Spark gives no reason'}. "
        "It is missing, or its bytes are not those that were written. Restore it from a copy of "
        "the warehouse; for a staged file, run its night again, which writes it anew. "
        "Nothing was changed."
    )
