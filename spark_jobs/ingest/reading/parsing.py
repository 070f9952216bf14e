"""Parsing: turn text columns into typed ones, and name the columns that could not be parsed."""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.ingest.columns import (
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
from spark_jobs.ingest.reading.column_names import ColumnNames, Made, standard_name
from spark_jobs.ingest.reading.column_rules import any_of, is_left_out, made_texts, value_by_rule
from spark_jobs.ingest.reading.csv_files import swallows_rows
from spark_jobs.ingest.reading.json_values import MARK, json_value, keys_of_object, sole_value

# Decoders replace bytes that are not UTF-8 by this.
REPLACEMENT_CHARACTER = "\ufffd"
_LOOKS_LIKE_JSON = r"^\s*[\[{]"
_BLANKS = " \t"


def json_rows(
    lines: DataFrame, kind: Kind, names: ColumnNames, keys: Mapping[str, Sequence[str]]
) -> DataFrame:
    """Split JSON Lines into text columns; nested lists and maps stay JSON text.

    A line with anything but one object is corrupt: the rest of the line may be another row.

    Args:
        lines: value, _file, _place.
        keys: column -> keys under which lines may have it, such as ``Price``; by itself otherwise.

    Returns:
        raw (struct of strings), _corrupt, _replaced, _open_quote, _file, _place: one row each line
        that is not blank.
    """
    fields = ", ".join(f"{name}: string" for name in FEED_COLUMNS[kind])
    line = F.ltrim(F.regexp_replace("value", "^\ufeff", ""), F.lit(_BLANKS))
    read = F.col("_read")
    # Anything but an object (a number, a list) is valid JSON, but no row.
    corrupt = read.isNull() | ~line.startswith("{")

    def value(key: str) -> Column:
        # Fields of a struct cannot differ by case alone, so other keys are those of a map.
        return read[key] if key in FEED_COLUMNS[kind] else json_value(line, key, F.col("_keys"))

    texts = {
        name: F.coalesce(*map(value, keys.get(name, (name,))))
        for name in FEED_COLUMNS[kind]
        if name not in names.made
    }
    texts |= made_texts(names.made, value)
    columns = [F.when(~F.col(CORRUPT), text).alias(name) for name, text in texts.items()]
    return (
        lines.filter(F.trim("value", F.lit(_BLANKS)) != "")
        .withColumn("_read", sole_value(line, f"struct<{fields}, {MARK}: string>"))
        .withColumn("_keys", keys_of_object(line))
        .withColumn(CORRUPT, corrupt)
        .select(
            F.struct(*columns, F.when(F.col(CORRUPT), line).alias("_line")).alias("raw"),
            CORRUPT,
            # Lines are the bytes of the file; only what is read out of them is decoded.
            (~F.is_valid_utf8("value")).alias(REPLACED),
            F.lit(False).alias(OPEN_QUOTE),
            FILE,
            PLACE,
        )
    )


def csv_rows(
    rows: DataFrame, header: Sequence[str], read: Mapping[str, Column], delimiter: str
) -> DataFrame:
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
        swallows_rows(read.values(), line, standard, delimiter).alias(OPEN_QUOTE),
        FILE,
        PLACE,
    )


def typed_rows(rows: DataFrame, kind: Kind, made: Made) -> DataFrame:
    """Parse text columns as the types of their kind.

    A value that is not of its column's type becomes null, and its column is listed in
    ``_unreadable``.

    Args:
        rows: raw (struct of strings, absent columns allowed), _corrupt, _replaced, _open_quote,
            _file, _place.
        made: columns that rules read, as ``ColumnNames`` has them.

    Returns:
        the feed's columns, _raw (JSON), _corrupt, _replaced, _open_quote, _unreadable, _left_out,
        _file, _place.
    """
    present = set(rows.select("raw.*").columns)

    def value(name: str, type_: str) -> Column:
        if name not in present:
            return F.lit(None).cast(type_)
        text = F.col(f"raw.{name}")
        return value_by_rule(text, made[name][0], type_) if name in made else _parsed(text, type_)

    columns = {name: value(name, type_) for name, type_ in FEED_COLUMNS[kind].items()}
    texts = {name: F.col(f"raw.{name}") for name in columns if name in present}
    return rows.withColumns(columns).select(
        *columns,
        F.to_json("raw").alias(RAW),
        CORRUPT,
        REPLACED,
        OPEN_QUOTE,
        unreadable_columns(texts).alias(UNREADABLE),
        left_out(texts, made).alias(LEFT_OUT),
        FILE,
        PLACE,
    )


def unreadable_columns(texts: Mapping[str, Column]) -> Column:
    """Return the names of the columns of rows that are null although the feed has a text.

    Args:
        texts: column -> its text in the feed.
    """
    names = [F.when(text.isNotNull() & F.col(n).isNull(), F.lit(n)) for n, text in texts.items()]
    return F.array_compact(F.array(*names)).cast("array<string>")


def left_out(texts: Mapping[str, Column], made: Made) -> Column:
    """Return whether a rule leaves the row out; see ``ColumnRule.values``."""
    return any_of([is_left_out(texts[name], rule) for name, (rule, _) in made.items()])


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
