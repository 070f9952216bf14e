"""Parsing: how do text columns become typed ones without losing what could not be read?"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.ingest.columns import (
    CORRUPT,
    FEED_COLUMNS,
    FILE,
    RAW,
    REPLACED,
    UNREADABLE,
    Kind,
)

# What a decoder puts in place of bytes that are not UTF-8.
REPLACEMENT_CHARACTER = "\ufffd"
_LOOKS_LIKE_JSON = r"^\s*[\[{]"


def json_rows(lines: DataFrame, kind: Kind) -> DataFrame:
    """Split JSON Lines into text columns; nested lists and maps stay JSON text.

    Args:
        lines: value, _file.

    Returns:
        raw (struct of strings), _corrupt, _replaced, _file: one row each line that is not blank.
    """
    fields = ", ".join(f"{name} string" for name in FEED_COLUMNS[kind])
    line = F.ltrim(F.regexp_replace("value", "^\ufeff", ""))
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": "_line"}
    parsed = F.from_json(line, f"{fields}, _line string", options)
    # Anything but an object (a number, a list) is valid JSON, but no row.
    corrupt = F.col("raw").isNull() | F.col("raw._line").isNotNull() | ~line.startswith("{")
    return (
        lines.filter(F.trim("value") != "")
        .withColumn("raw", parsed)
        .withColumn(CORRUPT, corrupt)
        .withColumn("raw", F.when(F.col(CORRUPT), _only_line(kind, line)).otherwise(F.col("raw")))
        .select(
            "raw", CORRUPT, F.col("value").contains(REPLACEMENT_CHARACTER).alias(REPLACED), FILE
        )
    )


def _only_line(kind: Kind, line: Column) -> Column:
    nothing = [F.lit(None).cast("string").alias(name) for name in FEED_COLUMNS[kind]]
    return F.struct(*nothing, line.alias("_line"))


def csv_rows(rows: DataFrame, kind: Kind) -> DataFrame:
    """Keep the columns of a CSV feed that its kind has.

    Args:
        rows: text columns; _line, the whole row where it does not fit the header; _file.

    Returns:
        raw (struct of strings), _corrupt, _replaced, _file: one row each row.
    """
    raw = [F.col(name) for name in rows.columns if name in (*FEED_COLUMNS[kind], "_line")]
    return rows.select(
        F.struct(*raw).alias("raw"),
        F.col("_line").isNotNull().alias(CORRUPT),
        F.concat_ws("", *raw).contains(REPLACEMENT_CHARACTER).alias(REPLACED),
        FILE,
    )


def typed_rows(rows: DataFrame, kind: Kind) -> DataFrame:
    """Read text columns as what they should be.

    A value that is not of its column's type becomes null, and its column is listed in
    ``_unreadable``.

    Args:
        rows: raw (struct of strings, absent columns allowed), _corrupt, _replaced, _file.

    Returns:
        the feed's columns, _raw (JSON), _corrupt, _replaced, _unreadable, _file.
    """
    present = set(rows.select("raw.*").columns)
    columns = {
        name: _parsed(F.col(f"raw.{name}"), type_) if name in present else F.lit(None).cast(type_)
        for name, type_ in FEED_COLUMNS[kind].items()
    }
    unreadable = [
        F.when(F.col(f"raw.{name}").isNotNull() & F.col(name).isNull(), F.lit(name))
        for name in columns
        if name in present
    ]
    return rows.withColumns(columns).select(
        *columns,
        F.to_json("raw").alias(RAW),
        CORRUPT,
        REPLACED,
        F.array_compact(F.array(*unreadable)).alias(UNREADABLE),
        FILE,
    )


def _parsed(text: Column, type_: str) -> Column:
    if type_ == "string":
        # A list or a map where a text should be; "[New] phone" is no JSON and stays.
        nested = F.coalesce(
            F.from_json(text, "array<string>").isNotNull(), F.lit(False)
        ) | F.coalesce(F.from_json(text, "map<string,string>").isNotNull(), F.lit(False))
        return F.when(~(text.rlike(_LOOKS_LIKE_JSON) & nested), text)
    if type_.startswith(("array", "map")):
        return F.from_json(text, type_)
    return text.try_cast(type_)
