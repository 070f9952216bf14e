"""Rows of a feed's files: JSON Lines, CSV, Parquet and Delta as frames in the columns of a kind."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from spark_jobs.engine.local_frames import local_frame
from spark_jobs.ingest.columns import (
    BOOKKEEPING,
    CORRUPT,
    FEED_COLUMNS,
    FILE,
    LEFT_OUT,
    OPEN_QUOTE,
    PLACE,
    RAW,
    REPLACED,
    UNREADABLE,
    Kind,
)
from spark_jobs.ingest.reading.column_checks import (
    as_they_are,
    check_order,
    check_rules,
    check_types,
    named_columns,
)
from spark_jobs.ingest.reading.column_names import Made, match_names, standard_name
from spark_jobs.ingest.reading.column_rules import made_texts, value_by_rule
from spark_jobs.ingest.reading.csv_files import csv_headers
from spark_jobs.ingest.reading.feed_files import feed_reader
from spark_jobs.ingest.reading.json_keys import json_keys
from spark_jobs.ingest.reading.json_values import json_value
from spark_jobs.ingest.reading.parsing import (
    csv_rows,
    json_rows,
    left_out,
    typed_rows,
    unreadable_columns,
)
from spark_jobs.ingest_config import Source
from spark_jobs.warehouse.tables import Tables

# What reading a row adds to its columns; the rest of the bookkeeping is the feed's.
_OF_ROWS = (RAW, CORRUPT, REPLACED, OPEN_QUOTE, UNREADABLE, LEFT_OUT, FILE, PLACE)
_CSV_OPTIONS: dict[str, str] = {
    "header": "true",
    "multiLine": "true",
    "escape": '"',
}


@dataclass(frozen=True)
class FeedRows:
    """A feed's rows, and remarks about its columns for the person who runs the night.

    Attributes:
        files: that the rows are read from; none of a Delta table or a public data set.
    """

    rows: DataFrame
    remarks: Sequence[str] = ()
    files: Sequence[str] = ()


def file_rows(tables: Tables, source: Source, path: str, files: Sequence[str]) -> FeedRows:
    """Return the rows of a feed in files lazily: the columns of its kind, and what reading adds.

    Args:
        files: that Spark reads at the path, sorted; none of a Delta table.

    Raises:
        UnreadableFeed: columns are missing, mistyped, or several could be one.
    """
    if source.format == "jsonl":
        return _jsonl_rows(tables, source, path, files)
    if source.format == "csv":
        return _csv_rows(tables, source, path, files)
    reader = (
        tables.spark.read if source.format == "delta" else feed_reader(tables.spark, path, files)
    )
    rows = reader.format(source.format).load(path)
    if source.format == "parquet" and "://" not in path:
        rows = _with_times(rows, next(iter(files), None))
    names = as_they_are(named_columns(source, path, rows.columns), rows.schema)
    order = names.order if names.order is None else F.col(f"`{names.order}`")
    # The files of a Delta table are in no order.
    place = row_place(order, None if source.format == "delta" else "row_index")
    made = made_texts(names.made, lambda name: _as_text(rows, name))
    renamed = rows.select(
        *[F.col(f"`{found}`").alias(name) for name, found in names.read.items()],
        *[text.alias(f"_of_{column}") for column, text in made.items()],
        place.alias(PLACE),
    )
    check_types(source, path, renamed.schema)
    return FeedRows(as_feed(renamed, source.kind, names.made), names.remarks)


def _as_text(rows: DataFrame, name: str) -> Column:
    """Return a column of a typed feed as a text that rules read: times with their zone."""
    column = F.col(name if name not in rows.columns else f"`{name}`")
    match rows.select(column).schema[0].dataType:
        case T.TimestampType():
            return F.date_format(column, "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX")
        case T.ArrayType() | T.MapType() | T.StructType():
            return F.to_json(column)
        case _:
            return column.cast("string")


def _with_times(rows: DataFrame, file: str | None) -> DataFrame:
    """Turn timestamps in nanoseconds, as pandas writes them, into timestamps; others stay.

    Args:
        rows: of Parquet files, their nanoseconds as numbers.
        file: one of them.
    """
    if file is None:
        return rows
    nanoseconds = {
        field.name
        for field in pq.read_schema(file)
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns"
    }
    numbers = [f.name for f in rows.schema if f.name in nanoseconds and f.dataType == T.LongType()]
    return rows.withColumns(
        {
            name: F.timestamp_micros(F.call_function("div", F.col(f"`{name}`"), F.lit(1000)))
            for name in numbers
        }
    )


def _jsonl_rows(tables: Tables, source: Source, path: str, files: Sequence[str]) -> FeedRows:
    keys = json_keys(tables.spark, path, files, source.encoding)
    columns = FEED_COLUMNS[source.kind]
    # Lines may spell a key in several ways, and each has its own.
    spelled: dict[str, list[str]] = {}
    for key in keys:
        if standard_name(key) in columns and standard_name(key) not in source.columns:
            spelled.setdefault(standard_name(key), []).append(key)
    others = {key for same in spelled.values() for key in same}
    known = [*spelled, *(key for key in keys if key not in others)]
    # A key that a rule names may come after the first lines.
    named = [name for rule in source.columns.values() for name in rule.names]
    names = match_names([*known, *named], source.kind, source.order_by, source.columns)
    check_rules(source, names)
    if keys:
        check_order(source, path, keys, names)
    read = {column: [key] for column, key in names.read.items()} | spelled
    wanted = None if source.order_by is None else standard_name(source.order_by)
    line = F.col("value")
    if source.encoding != "utf-8":
        line = F.decode(line.cast("binary"), source.encoding)
    orders = [json_value(line, key) for key in keys if standard_name(key) == wanted]
    order = F.coalesce(*orders) if orders else None
    lines = (
        feed_reader(tables.spark, path, files)
        .text(path)
        .select(
            line.alias("value"),
            F.col("_metadata.file_path").alias(FILE),
            row_place(order, "file_block_start").alias(PLACE),
        )
    )
    rows = json_rows(lines, source.kind, names, read)
    return FeedRows(typed_rows(rows, source.kind, names.made), names.remarks)


def _csv_rows(tables: Tables, source: Source, path: str, files: Sequence[str]) -> FeedRows:
    """Read each file by its own header: files of a folder may differ in columns and their order."""
    if "://" in path:
        first = tables.spark.read.options(**_csv_options(source)).csv(path).columns
        by_header = {tuple(first): [path]} if first else {}
    else:
        by_header = csv_headers(files, source)
    frames, remarks = [], []
    for header, same in by_header.items():
        # One header is the folder's: its files need not be listed one by one.
        paths = [path] if len(by_header) == 1 else same
        rows = _csv_texts(tables, source, header, path, paths, files)
        folders = [name for name in rows.columns if not name.startswith("_")]
        names = named_columns(source, same[0], [*header, *folders])
        texts = {found: F.col(f"_{i}") for i, found in enumerate(header)}
        texts |= {found: F.col(f"`{found}`").cast("string") for found in folders}
        order = None if names.order is None else texts[names.order]
        placed = rows.withColumn(PLACE, row_place(order, "file_block_start"))
        read = {column: texts[found] for column, found in names.read.items()}
        read |= made_texts(names.made, texts.__getitem__)
        text_rows = csv_rows(placed, header, read, source.delimiter)
        frames.append(typed_rows(text_rows, source.kind, names.made))
        remarks += names.remarks
    if not frames:
        return FeedRows(local_frame(tables.spark, [], _csv_ddl(source.kind)))
    return FeedRows(reduce(DataFrame.unionByName, frames), list(dict.fromkeys(remarks)))


def _csv_texts(
    tables: Tables,
    source: Source,
    header: Sequence[str],
    path: str,
    paths: list[str],
    files: Sequence[str],
) -> DataFrame:
    """Return the values of files of one header: _0, _1, ..., _line, _file, _metadata, and the
    columns that folders such as ``hour=00`` stand for.

    Args:
        paths: to read, below the feed's path.
        files: of the feed.
    """
    fields = [T.StructField(f"_{i}", T.StringType()) for i in range(len(header))]
    schema = T.StructType([*fields, T.StructField("_line", T.StringType())])
    reader = feed_reader(tables.spark, path, files)
    reader = reader.options(**_csv_options(source))
    reader = reader.option("columnNameOfCorruptRecord", "_line")
    # Without it a header that differs from the schema's names is an error of Spark's.
    reader = reader.option("enforceSchema", "true").schema(schema)
    if os.path.isdir(path):
        reader = reader.option("basePath", path)
    rows = reader.csv(paths)
    return rows.select("*", "_metadata", F.col("_metadata.file_path").alias(FILE))


def _csv_options(source: Source) -> dict[str, str]:
    return {**_CSV_OPTIONS, "sep": source.delimiter, "encoding": source.encoding}


def row_place(order: Column | None, position: str | None) -> Column:
    """Return where in its feed a row lies; of two rows of a key, the greater is the newer.

    Args:
        order: what the row itself says: a number, a time, or a text.
        position: field of ``_metadata`` by which the rows of a file are in order; None where the
            rows of a feed are in none.
    """
    written = F.lit(None).cast("string") if order is None else order.cast("string")
    moment = F.unix_micros(written.try_cast("timestamp")) / 1e6
    nothing = F.lit(None)
    return F.struct(
        F.coalesce(written.try_cast("double"), moment).alias("order"),
        written.alias("written"),
        (F.col("_metadata.file_path") if position else nothing.cast("string")).alias("file"),
        (F.col(f"_metadata.{position}") if position else nothing.cast("bigint")).alias("start"),
        # Rises within what one task reads of a file.
        (F.monotonically_increasing_id() if position else nothing.cast("bigint")).alias("row"),
    )


def as_feed(rows: DataFrame, kind: Kind, made: Made = MappingProxyType({})) -> DataFrame:
    """Return typed rows in all columns of their kind, with what reading a row adds.

    Args:
        made: columns that rules read from the text ``_of_<column>``.
    """
    present = set(rows.columns)
    texts = {name: F.col(f"_of_{name}") for name in made}

    def value(name: str, type_: str) -> Column:
        if name in made:
            return value_by_rule(texts[name], made[name][0], type_)
        return (F.col(name) if name in present else F.lit(None)).cast(type_)

    columns = {name: value(name, type_) for name, type_ in FEED_COLUMNS[kind].items()}
    place = F.col(PLACE) if PLACE in present else F.lit(None).cast(BOOKKEEPING[PLACE])
    written = [texts.get(name, F.col(name)).alias(name) for name in columns]
    return (
        rows.select(
            *[value.alias(name) for name, value in columns.items()],
            *texts.values(),
            place.alias(PLACE),
        )
        .withColumn(UNREADABLE, unreadable_columns(texts))
        .select(
            *columns,
            PLACE,
            F.to_json(F.struct(*written)).alias(RAW),
            F.lit(False).alias(CORRUPT),
            F.lit(False).alias(REPLACED),
            F.lit(False).alias(OPEN_QUOTE),
            UNREADABLE,
            left_out(texts, made).alias(LEFT_OUT),
            F.col(f"{PLACE}.file").alias(FILE),
        )
    )


def _csv_ddl(kind: Kind) -> str:
    names = {**FEED_COLUMNS[kind], **{n: BOOKKEEPING[n] for n in _OF_ROWS}}
    return ", ".join(f"{name} {type_}" for name, type_ in names.items())
