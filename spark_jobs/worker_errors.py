"""What Python workers raise, said as the driver's own errors are: one message, no trace."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.errors import PySparkException

# The last line of a worker's traceback, where the error is of one of our modules.
_OURS = re.compile(r"^(?:encoders|spark_jobs)\.[\w.]+: (?P<message>.+)$", re.MULTILINE)


class WorkerFailed(RuntimeError):
    """A worker ended with an error of ours."""


@contextmanager
def worker_errors_named(where: str) -> Iterator[None]:
    """Say in one message what an error of ours in a worker says; other errors are left as they are.

    Args:
        where: stage and night, for the message.

    Raises:
        WorkerFailed: a worker ended with such an error.
    """
    try:
        yield
    except PySparkException as error:
        said = _OURS.search(str(error))
        if said is None:
            raise
        raise WorkerFailed(f"{where}: {said['message']}") from error
