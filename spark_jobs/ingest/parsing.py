"""Parsing: turn text columns into typed ones, and name the columns that could not be parsed."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.ingest.columns import CORRUPT, FEED_COLUMNS, FILE, RAW, REPLACED, UNREADABLE, Kind

# Decoders replace bytes that are not UTF-8 by this.
REPLACEMENT_CHARACTER = "\ufffd"
_LOOKS_LIKE_JSON = r"^\s*[\[{]"
_MARK = "_mark"


def json_rows(lines: DataFrame, kind: Kind) -> DataFrame:
    """Split JSON Lines into text columns; nested lists and maps stay JSON text.

    A line with anything but one object is corrupt: the rest of the line may be another row.

    Args:
        lines: value, _file.

    Returns:
        raw (struct of strings), _corrupt, _replaced, _file: one row each line that is not blank.
    """
    fields = ", ".join(f"{name}: string" for name in FEED_COLUMNS[kind])
    line = F.ltrim(F.regexp_replace("value", "^\ufeff", ""))
    read = F.col("_read")
    # Anything but an object (a number, a list) is valid JSON, but no row.
    corrupt = read.isNull() | ~line.startswith("{")
    columns = [F.when(~F.col(CORRUPT), read[name]).alias(name) for name in FEED_COLUMNS[kind]]
    return (
        lines.filter(F.trim("value") != "")
        .withColumn("_read", sole_value(line, f"struct<{fields}, {_MARK}: string>"))
        .withColumn(CORRUPT, corrupt)
        .select(
            F.struct(*columns, F.when(F.col(CORRUPT), line).alias("_line")).alias("raw"),
            CORRUPT,
            F.col("value").contains(REPLACEMENT_CHARACTER).alias(REPLACED),
            FILE,
        )
    )


def sole_value(text: Column, type_: str) -> Column:
    """Parse a text that is exactly one JSON value; null where it is of another type or has more.

    ``from_json`` ignores text after the first value. Here the text becomes an element of a list
    whose next and last element is a mark that the text cannot contain, its own hash: text after the
    value breaks the list, makes it longer, or ends it before the mark.

    Args:
        type_: a list of texts, a map of texts, or a struct that has the mark as a field.
    """
    digest = F.xxhash64(text).cast("string")
    is_list = type_.startswith("array")
    opened, closed = (',["', '"]]') if is_list else (f',{{"{_MARK}":"', '"}]')
    marked = F.concat(F.lit("["), text, F.lit(opened), digest, F.lit(closed))
    read = F.from_json(marked, f"array<{type_}>")
    mark = F.get(read, 1)
    found = F.get(mark, 0) if is_list else mark[_MARK]
    return F.when((F.size(read) == 2) & (found == digest), F.get(read, 0))


def csv_rows(rows: DataFrame, kind: Kind) -> DataFrame:
    """Select the columns of a CSV feed that belong to its kind.

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
    """Parse text columns as the types of their kind.

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
        # A list or a map in place of a text is refused; "[New] phone" is not JSON and is a text.
        nested = (
            sole_value(text, "array<string>").isNotNull()
            | sole_value(text, "map<string,string>").isNotNull()
        )
        return F.when(~(text.rlike(_LOOKS_LIKE_JSON) & nested), text)
    if type_.startswith(("array", "map")):
        return sole_value(text, type_)
    return text.try_cast(type_)
