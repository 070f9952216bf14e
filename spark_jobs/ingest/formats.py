"""Formats of feeds: read a feed of each format as a frame, and check its columns."""

import os
from collections.abc import Sequence
from datetime import datetime

from py4j.protocol import Py4JError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from spark_jobs.config import Source
from spark_jobs.contracts import INTERACTIONS
from spark_jobs.ingest.columns import (
    CORRUPT,
    FEED_COLUMNS,
    FILE,
    RAW,
    REPLACED,
    REQUIRED_COLUMNS,
    UNREADABLE,
    Kind,
)
from spark_jobs.ingest.datasets import ADAPTERS
from spark_jobs.ingest.datasets.adapter import Window
from spark_jobs.ingest.feed_files import files_problem, spark_path
from spark_jobs.ingest.parsing import csv_rows, json_rows, typed_rows
from spark_jobs.night import Night
from spark_jobs.warehouse.tables import Tables

FILE_FORMATS = ("csv", "jsonl", "parquet", "delta")
_NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double")
_ABSENT = ("PATH_NOT_FOUND", "DELTA_PATH_DOES_NOT_EXIST", "DELTA_TABLE_NOT_FOUND")
_CSV_OPTIONS: dict[str, str] = {
    "header": "true",
    "multiLine": "true",
    "escape": '"',
    "encoding": "UTF-8",
}


# Exceptions that Spark raises about a file, its own or Java's.
READ_ERRORS = (PySparkException, Py4JError)


class UnreadableFeed(ValueError):
    """A whole feed cannot be used; the message lists the problems of all feeds of tonight."""


class AbsentFeed(LookupError):
    """No file or folder exists at a feed's path."""


def feed_rows(
    tables: Tables, source: Source, path: str, night: Night, *, apart: Sequence[str] = ()
) -> DataFrame:
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
            return _data_set_rows(tables, source, path, night)
        if source.format != "delta":  # a Delta table's log says which of its files are data
            _check_files(tables, source, path, apart)
        return _file_rows(tables, source, path)
    except (*READ_ERRORS, OSError, UnicodeDecodeError) as error:
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


def missing_columns(kind: Kind, missing: Sequence[str]) -> str:
    """Return a text that names missing columns and their types."""
    types = FEED_COLUMNS[kind]
    return "; ".join(f"column {name!r} should be {types[name]} but is missing" for name in missing)


def check_schema(source: Source, path: str, schema: T.StructType) -> None:
    """Check the columns of a typed feed.

    Raises:
        UnreadableFeed: columns are missing or mistyped.
    """
    check_present(source, path, schema.names)
    found = {column.name: column.dataType.simpleString() for column in schema}
    problems = [
        f"column {name!r} should be {type_} but is {found[name]}"
        for name, type_ in FEED_COLUMNS[source.kind].items()
        if name in found and not _fits(found[name], type_)
    ]
    if problems:
        raise UnreadableFeed(
            f"feed {source.name!r}: {path!r}: {'; '.join(problems)}. Cast the columns where the "
            "feed is written."
        )


def check_present(source: Source, path: str, found: Sequence[str]) -> None:
    """Check that the required columns are there.

    Raises:
        UnreadableFeed: some are not.
    """
    missing = [name for name in REQUIRED_COLUMNS[source.kind] if name not in found]
    if missing:
        raise UnreadableFeed(
            f"feed {source.name!r}: {path!r}: {missing_columns(source.kind, missing)}; "
            f"found {', '.join(found)}. Add or rename the columns where the feed is written."
        )


def _check_files(tables: Tables, source: Source, path: str, apart: Sequence[str]) -> None:
    problem = files_problem(tables.spark, path, apart)
    if problem is not None:
        raise UnreadableFeed(f"feed {source.name!r}: {path!r}: {problem}")


def _file_rows(tables: Tables, source: Source, path: str) -> DataFrame:
    read, at = tables.spark.read, spark_path(path)
    if source.format == "jsonl":
        lines = read.text(at).select("value", F.col("_metadata.file_path").alias(FILE))
        return typed_rows(json_rows(lines, source.kind), source.kind)
    if source.format == "csv":
        header = read.options(**_CSV_OPTIONS).csv(at).columns
        check_present(source, path, header)
        fields = [T.StructField(name, T.StringType()) for name in [*header, "_line"]]
        # Without enforceSchema, a file whose header differs in names or order is an error.
        options = {**_CSV_OPTIONS, "enforceSchema": "false", "columnNameOfCorruptRecord": "_line"}
        rows = read.options(**options).schema(T.StructType(fields)).csv(at)
        named = rows.select("*", F.col("_metadata.file_path").alias(FILE))
        return typed_rows(csv_rows(named, source.kind), source.kind)
    rows = read.format(source.format).load(path if source.format == "delta" else at)
    check_schema(source, path, rows.schema)
    return _as_feed(rows, source.kind)


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
    check_schema(source, path, rows.schema)
    return _as_feed(rows, source.kind)


def _last_taken(tables: Tables, night: Night) -> datetime | None:
    """Return the end of the last night before tonight with published interactions."""
    earlier = tables.read(INTERACTIONS).filter(F.col("ds") < F.lit(night.ds))
    newest = earlier.agg(F.max("ds")).collect()[0][0]
    return None if newest is None else Night(newest).end


def _as_feed(rows: DataFrame, kind: Kind) -> DataFrame:
    present = set(rows.columns)
    columns = [
        (F.col(name) if name in present else F.lit(None)).cast(type_).alias(name)
        for name, type_ in FEED_COLUMNS[kind].items()
    ]
    return rows.select(*columns).select(
        "*",
        F.to_json(F.struct(*FEED_COLUMNS[kind])).alias(RAW),
        F.lit(False).alias(CORRUPT),
        F.lit(False).alias(REPLACED),
        F.array().cast("array<string>").alias(UNREADABLE),
        F.lit(None).cast("string").alias(FILE),
    )


def _fits(found: str, expected: str) -> bool:
    if expected == "double":
        return found in _NUMBERS or found.startswith("decimal")
    if expected == "timestamp":
        return found in ("timestamp", "timestamp_ntz")
    return found == expected


def _absent(source: Source, path: str) -> AbsentFeed:
    return AbsentFeed(
        f"feed {source.name!r}: {path!r} does not exist. "
        "Deliver the feed, correct [[sources]] path, or set optional = true."
    )
