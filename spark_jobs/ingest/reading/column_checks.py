"""Columns of a feed, held against those of its kind: names, and types where a format has them."""

from collections.abc import Sequence
from dataclasses import replace

from pyspark.sql import types as T

from spark_jobs.ingest.columns import FEED_COLUMNS, REQUIRED_COLUMNS, Kind
from spark_jobs.ingest.reading.column_names import ColumnNames, match_names
from spark_jobs.ingest_config import Source

_TYPES = {**FEED_COLUMNS["items"], **FEED_COLUMNS["interactions"]}
_NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double")


class UnreadableFeed(ValueError):
    """A whole feed cannot be used; the message lists the problems of all feeds of tonight."""


def missing_columns(kind: Kind, missing: Sequence[str]) -> str:
    """Return a text that names missing columns and their types."""
    types = FEED_COLUMNS[kind]
    return "; ".join(f"column {name!r} should be {types[name]} but is missing" for name in missing)


def check_types(source: Source, path: str, schema: T.StructType) -> None:
    """Check the types of a typed feed's columns.

    Raises:
        UnreadableFeed: some are of another type than those of their kind.
    """
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


def named_columns(source: Source, path: str, found: Sequence[str]) -> ColumnNames:
    """Match the names of a feed's or file's columns with those of its kind.

    Raises:
        UnreadableFeed: required columns are missing, or several could be one column.
    """
    names = match_names(found, source.kind, source.order_by, source.columns)
    check_rules(source, names)
    if names.absent:
        listed = "; ".join(
            f"column {wanted!r} ([sources.columns] {column}) is missing"
            for column, missing in names.absent.items()
            for wanted in missing
        )
        raise UnreadableFeed(
            f"feed {source.name!r}: {path!r}: {listed}; found {', '.join(found)}. Correct "
            "[sources.columns], or write the column."
        )
    if names.clashes:
        listed = "; ".join(
            f"column {column!r} stands {len(same)} times, as {', '.join(map(repr, same))}"
            for column, same in names.clashes.items()
        )
        raise UnreadableFeed(
            f"feed {source.name!r}: {path!r}: {listed}. Keep one of them where the feed is "
            "written, or name it in [sources.columns]."
        )
    check_order(source, path, found, names)
    missing = [
        name for name in REQUIRED_COLUMNS[source.kind] if name not in {*names.read, *names.made}
    ]
    if missing:
        meant = "".join(f" Did you mean {s!r} for {c!r}?" for s, c in names.similar.items())
        raise UnreadableFeed(
            f"feed {source.name!r}: {path!r}: {missing_columns(source.kind, missing)}; "
            f"found {', '.join(found)}.{meant} Add or rename the columns where the feed is "
            "written, or name them in [sources.columns]."
        )
    return names


def check_rules(source: Source, names: ColumnNames) -> None:
    """Check that the rules of ``[sources.columns]`` are about columns, and can be followed.

    Raises:
        UnreadableFeed: a rule is about no column of the kind, or names none of the feed's.
    """
    columns = FEED_COLUMNS[source.kind]
    problems = [
        f"{column!r} is no column of {source.kind}: they are {', '.join(columns)}"
        for column in source.columns
        if column not in columns
    ]
    problems += [
        f"{column!r} needs either column or value"
        for column, rule in source.columns.items()
        if bool(rule.names) == (rule.value is not None)
    ]
    problems += [
        f"{column!r} has a list of columns, of which only a text, a list or a map is made"
        for column, rule in source.columns.items()
        if rule.names and rule.is_list and columns.get(column) in ("double", "timestamp", "boolean")
    ]
    if problems:
        raise UnreadableFeed(f"feed {source.name!r}: [sources.columns]: {'; '.join(problems)}.")


def as_they_are(names: ColumnNames, schema: T.StructType) -> ColumnNames:
    """Return names without the rules for texts whose column of a typed feed has its type already.

    A number that is a number has no decimal mark, and a time that is a time no pattern.
    """
    types = {field.name: field.dataType.simpleString() for field in schema}
    plain = {
        column: found[0]
        for column, (rule, found) in names.made.items()
        if not rule.is_list
        and found
        and not rule.values
        and not rule.html
        and (wanted := _TYPES[column]) != "string"
        and _fits(types.get(found[0], ""), wanted)
    }
    made = {column: how for column, how in names.made.items() if column not in plain}
    return replace(names, read={**names.read, **plain}, made=made)


def check_order(source: Source, path: str, found: Sequence[str], names: ColumnNames) -> None:
    """Check that the column is there by which the source orders changes, if it does.

    Raises:
        UnreadableFeed: it is not.
    """
    if source.order_by is not None and names.order is None:
        raise UnreadableFeed(
            f"feed {source.name!r}: {path!r}: column {source.order_by!r} ([[sources]] order_by) is "
            f"missing; found {', '.join(found)}. Correct order_by, or write the column."
        )


def _fits(found: str, expected: str) -> bool:
    if expected == "double":
        return found in _NUMBERS or found.startswith("decimal")
    if expected == "timestamp":
        return found in ("timestamp", "timestamp_ntz")
    return found == expected
