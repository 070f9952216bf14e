"""Environment of this process: variables set for a while, and the locale of file names."""

import locale
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark import SparkContext

logger = logging.getLogger(__name__)

# A locale that every current Linux has, in which names of files are UTF-8.
UTF8_LOCALE = "C.UTF-8"


def has_utf8_file_names() -> bool:
    """Return whether names of files are UTF-8 to a JVM started in the environment of this one."""
    # Not the encoding of Python's own UTF-8 mode, which Java does not have.
    return locale.getencoding().casefold().replace("-", "") == "utf8"


@contextmanager
def utf8_file_names(*, submitted: bool) -> Iterator[None]:
    """Let a JVM that is started meanwhile find files whose names are not ASCII.

    Java takes the encoding from the locale; no option of Java 17 sets it.

    Args:
        submitted: whether spark-submit has started the JVM before; its locale stays.
    """
    if has_utf8_file_names() or SparkContext._active_spark_context is not None:
        yield
        return
    if submitted:
        logger.warning(
            "Java reads the names of files as %s: it does not find those with other letters. Call "
            "spark-submit with LC_ALL=%s.",
            locale.getencoding(),
            UTF8_LOCALE,
        )
        yield
        return
    with environment_variable("LC_ALL", UTF8_LOCALE):
        yield


@contextmanager
def environment_variable(name: str, value: str) -> Iterator[None]:
    """Set a variable for this process and those it starts meanwhile; then as it was before."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
