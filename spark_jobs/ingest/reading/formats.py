"""Formats of feeds: read a feed of each format as a frame, and check its columns."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from py4j.protocol import Py4JError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import INTERACTIONS
from spark_jobs.ingest.datasets import ADAPTERS
from spark_jobs.ingest.datasets.adapter import Window
from spark_jobs.ingest.reading.column_checks import UnreadableFeed, check_types, named_columns
from spark_jobs.ingest.reading.feed_files import files_problem, files_read
from spark_jobs.ingest.reading.file_rows import FeedRows, as_feed, file_rows
from spark_jobs.ingest.reading.text_files import FILE_ERRORS
from spark_jobs.ingest_config import Source
from spark_jobs.night import Night
from spark_jobs.warehouse.tables import Tables

FILE_FORMATS = ("csv", "jsonl", "parquet", "delta")
_ABSENT = ("PATH_NOT_FOUND", "DELTA_PATH_DOES_NOT_EXIST", "DELTA_TABLE_NOT_FOUND")


# Exceptions that Spark raises about a file, its own or Java's.
READ_ERRORS = (PySparkException, Py4JError)


class AbsentFeed(LookupError):
    """No file or folder exists at a feed's path."""


def feed_rows(
    tables: Tables, source: Source, path: str, night: Night, *, apart: Sequence[str] = ()
) -> FeedRows:
    """Return a feed's rows lazily: the columns of its kind, and the bookkeeping of ``columns.py``.

    Args:
        apart: paths of other feeds, whose files do not belong to this one.

    Raises:
        AbsentFeed: nothing exists at ``path``.
        UnreadableFeed: files would not be read, columns are missing or mistyped, or a file is not
            of its format.
    """
    is_url = "://" in path
    if not is_url and not os.path.exists(path):
        raise _absent(source, path)
    try:
        if source.format in ADAPTERS:
            return FeedRows(_data_set_rows(tables, source, path, night))
        # A Delta table's log says which of its files are data.
        files = [] if source.format == "delta" else _checked_files(tables, source, path, apart)
        return replace(file_rows(tables, source, path, files), files=files)
    except (*READ_ERRORS, *FILE_ERRORS) as error:
        if is_url and isinstance(error, AnalysisException) and error.getCondition() in _ABSENT:
            raise _absent(source, path) from error
        raise UnreadableFeed(unreadable(source, path, error)) from error


def unreadable(source: Source, path: str, error: Exception) -> str:
    """Return the message that a feed cannot be read, in one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # In a Java error with its stack, the innermost cause names the file and the problem.
    causes = [line for line in lines if line.startswith("Caused by:")]
    cause = (causes[-1].removeprefix("Caused by: ") if causes else lines[0])[:500]
    where = f"feed {source.name!r}: {path!r} cannot be read as {source.format}"
    return f"{where}: {cause}. Deliver it again, or correct [[sources]] format."


def _checked_files(tables: Tables, source: Source, path: str, apart: Sequence[str]) -> list[str]:
    files = files_read(tables.spark, path)
    problem = files_problem(tables.spark, path, files, apart)
    if problem is not None:
        raise UnreadableFeed(f"feed {source.name!r}: {path!r}: {problem}")
    return files


def _data_set_rows(tables: Tables, source: Source, path: str, night: Night) -> DataFrame:
    adapter = ADAPTERS[source.format]
    if source.kind == "items":
        rows = adapter.items(tables.spark, path, Window(None, night.end))
    elif adapter.interactions is not None:
        window = Window(_last_taken(tables, night), night.end)
        rows = adapter.interactions(tables.spark, path, window)
    else:
        raise UnreadableFeed(
            f"feed {source.name!r}: {source.format} has no interactions. Set kind = 'items'."
        )
    named_columns(source, path, rows.columns)
    check_types(source, path, rows.schema)
    return as_feed(rows, source.kind)


def _last_taken(tables: Tables, night: Night) -> datetime | None:
    """Return the end of the last night before tonight with published interactions."""
    earlier = tables.read(INTERACTIONS).filter(F.col("ds") < F.lit(night.ds))
    newest = earlier.agg(F.max("ds")).collect()[0][0]
    return None if newest is None else Night(newest).end


def _absent(source: Source, path: str) -> AbsentFeed:
    return AbsentFeed(
        f"feed {source.name!r}: {path!r} does not exist. "
        "Deliver the feed, correct [[sources]] path, or set optional = true."
    )
