"""Parsing: turn text columns into typed ones, and name the columns that could not be parsed."""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.ingest.columns import (
    CORRUPT,
    FEED_COLUMNS,
    FILE,
    OPEN_QUOTE,
    PLACE,
    RAW,
    REPLACED,
    UNREADABLE,
    Kind,
)
from spark_jobs.ingest.reading.column_names import standard_name
from spark_jobs.ingest.reading.csv_files import swallows_rows

# Decoders replace bytes that are not UTF-8 by this.
REPLACEMENT_CHARACTER = "\ufffd"
_LOOKS_LIKE_JSON = r"^\s*[\[{]"
_MARK = "_mark"
_BLANKS = " \t"


def json_rows(
    lines: DataFrame, kind: Kind, names: Mapping[str, Sequence[str]] | None = None
) -> DataFrame:
    """Split JSON Lines into text columns; nested lists and maps stay JSON text.

    A line with anything but one object is corrupt: the rest of the line may be another row.

    Args:
        lines: value, _file, _place.
        names: column -> other keys under which lines may have it, such as ``Price``.

    Returns:
        raw (struct of strings), _corrupt, _replaced, _open_quote, _file, _place: one row each line
        that is not blank.
    """
    fields = ", ".join(f"{name}: string" for name in FEED_COLUMNS[kind])
    line = F.ltrim(F.regexp_replace("value", "^\ufeff", ""), F.lit(_BLANKS))
    read = F.col("_read")
    # Anything but an object (a number, a list) is valid JSON, but no row.
    corrupt = read.isNull() | ~line.startswith("{")
    # Fields of a struct cannot differ by case alone.
    others = {name: [json_value(line, key) for key in keys] for name, keys in (names or {}).items()}
    columns = [
        F.when(~F.col(CORRUPT), F.coalesce(read[name], *others.get(name, ()))).alias(name)
        for name in FEED_COLUMNS[kind]
    ]
    return (
        lines.filter(F.trim("value", F.lit(_BLANKS)) != "")
        .withColumn("_read", sole_value(line, f"struct<{fields}, {_MARK}: string>"))
        .withColumn(CORRUPT, corrupt)
        .select(
            F.struct(*columns, F.when(F.col(CORRUPT), line).alias("_line")).alias("raw"),
            CORRUPT,
            F.col("value").contains(REPLACEMENT_CHARACTER).alias(REPLACED),
            F.lit(False).alias(OPEN_QUOTE),
            FILE,
            PLACE,
        )
    )


def json_value(text: Column, key: str) -> Column:
    """Return the value of a key of a JSON object as text; JSON paths lose a key's outer blanks."""
    return F.try_element_at(F.from_json(text, "map<string,string>"), F.lit(key))


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


def csv_rows(rows: DataFrame, header: Sequence[str], read: Mapping[str, Column]) -> DataFrame:
    """Select the columns of a CSV feed that are read, under the names of its kind.

    Args:
        rows: text columns; _line, the whole row where it does not fit the header; _file, _place.
        header: of their files.
        read: column of the kind -> its text.

    Returns:
        raw (struct of strings), _corrupt, _replaced, _open_quote, _file, _place: one row each row.
    """
    line = F.col("_line")
    raw = [value.alias(name) for name, value in read.items()]
    standard = [standard_name(name) for name in header]
    return rows.select(
        F.struct(*raw, line.alias("_line")).alias("raw"),
        line.isNotNull().alias(CORRUPT),
        F.concat_ws("", *read.values(), line).contains(REPLACEMENT_CHARACTER).alias(REPLACED),
        swallows_rows(read.values(), line, standard).alias(OPEN_QUOTE),
        FILE,
        PLACE,
    )


def typed_rows(rows: DataFrame, kind: Kind) -> DataFrame:
    """Parse text columns as the types of their kind.

    A value that is not of its column's type becomes null, and its column is listed in
    ``_unreadable``.

    Args:
        rows: raw (struct of strings, absent columns allowed), _corrupt, _replaced, _open_quote,
            _file, _place.

    Returns:
        the feed's columns, _raw (JSON), _corrupt, _replaced, _open_quote, _unreadable, _file,
        _place.
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
        OPEN_QUOTE,
        F.array_compact(F.array(*unreadable)).alias(UNREADABLE),
        FILE,
        PLACE,
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
