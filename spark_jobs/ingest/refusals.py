"""Refusals: of each feed, how many rows and pictures were refused for which reason, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.ingest.columns import FEED, FEED_COLUMNS, KEYS, PAYLOAD, REASON, UNREADABLE, Kind
from spark_jobs.ingest.content_hash import PICTURE_PROBLEMS
from spark_jobs.ingest.feed_counts import Tally

_PICTURE = "picture"
# The column that a reason is about, where its value says more than the row's key.
_COLUMNS = {
    "row_unreadable": "_line",
    "domain_unknown": "domain",
    "action_unknown": "action",
    "price_absurd": "price",
    "value_absurd": "value",
    "event_in_future": "occurred_at",
}
_TYPES: Mapping[str, str] = {**FEED_COLUMNS["items"], **FEED_COLUMNS["interactions"]}
_VALUE_SHOWN = 60
_REASONS_SHOWN = 8


@dataclass(frozen=True)
class Refusal:
    """What was refused of one feed for one reason.

    Attributes:
        column: that the reason is about; None where it is about the whole row.
        count: rows or pictures.
        key: of an example, without the user; empty where it has none.
        value: of the column in the example, as the source wrote it; the row where it has no key.
    """

    feed: str
    reason: str
    column: str | None
    count: int
    key: str
    value: str | None


def refusals(items: DataFrame, events: DataFrame) -> list[Refusal]:
    """Count what was refused, by feed, reason and column, the largest count first.

    Args:
        items: as ``judged_items`` returns them.
        events: as ``judged_events`` returns them.
    """
    counted = (
        _rows(items, "items").unionByName(_rows(events, "interactions")).unionByName(_images(items))
    )
    found = [Refusal(**row.asDict()) for row in counted.collect()]
    return sorted(found, key=lambda r: (r.feed, -r.count, r.reason, r.column or ""))


def remarks(feed: str, tally: Tally, found: Sequence[Refusal]) -> list[str]:
    """Say of a feed what was refused and why, with an example for each reason."""
    mine = [refusal for refusal in found if refusal.feed == feed]
    rows = [refusal for refusal in mine if refusal.column != _PICTURE]
    images = [refusal for refusal in mine if refusal.column == _PICTURE]
    lines = []
    if rows:
        lines += [f"rows: {tally.refused:,} of {tally.rows:,} refused", *_listed(rows)]
    if tally.pictures or images:
        read = tally.pictures - tally.pictures_refused
        surplus = sum(r.count for r in images) - tally.pictures_refused
        named = tally.pictures + surplus
        lines += [f"pictures: {named:,} named, {read:,} read", *_listed(images)]
    return lines


def _listed(found: Sequence[Refusal]) -> list[str]:
    more = len(found) - _REASONS_SHOWN
    rest = [f"  and {more} more reasons, see quarantine"] if more > 0 else []
    return [f"  {_in_words(refusal)}" for refusal in found[:_REASONS_SHOWN]] + rest


def _in_words(refusal: Refusal) -> str:
    counted, column = f"{refusal.reason} {refusal.count:,}", refusal.column
    of_row = f" of {refusal.key!r}" if refusal.key else ""
    if refusal.value is None:
        return f"{counted}, such as {refusal.key!r}" if refusal.key else counted
    value = refusal.value
    shown = value if len(value) <= _VALUE_SHOWN else f"{value[:_VALUE_SHOWN]} ..."
    if refusal.reason == "key_missing":
        return f"{counted}: {column} is absent or blank, such as in {shown!r}"
    wanted = f" (should be {_TYPES[column or '']})" if refusal.reason == "value_unreadable" else ""
    name = "line" if column == "_line" else column
    return f"{counted}, such as {name} {shown!r}{wanted}{of_row}"


def _rows(judged: DataFrame, kind: Kind) -> DataFrame:
    # Users can be forgotten; what a person reads here stays in terminals and logs.
    parts = [F.col(name).cast("string") for name in KEYS[kind] if name != "user_id"]
    refused = judged.filter(F.col(REASON).isNotNull()).select(
        FEED, REASON, _column(kind).alias("column"), F.concat_ws("|", *parts).alias("key"), PAYLOAD
    )
    path = F.concat(F.lit("$."), "column")
    row = F.col(f"example.{PAYLOAD}")
    value = F.call_function("get_json_object", row, path)
    whole, column = F.col("reason") == "key_missing", F.col("column")
    if kind == "interactions":
        value = F.when(~column.isin("user_id", "_line"), value)
        row = F.concat(F.lit("a row of "), F.coalesce(F.nullif("key", F.lit("")), F.lit("no item")))
    return _counted(refused).select(*_NAMES, F.when(whole, row).otherwise(value).alias("value"))


def _images(items: DataFrame) -> DataFrame:
    key = F.concat_ws("|", *KEYS["items"])
    problems = items.select(FEED, key.alias("key"), F.explode(PICTURE_PROBLEMS).alias("problem"))
    refused = problems.select(
        FEED,
        F.col("problem.reason").alias(REASON),
        F.lit(_PICTURE).alias("column"),
        "key",
        F.col("problem.path").alias(PAYLOAD),
    )
    return _counted(refused).select(*_NAMES, F.col(f"example.{PAYLOAD}").alias("value"))


_NAMES = ("feed", "reason", "column", "count", "key")


def _counted(refused: DataFrame) -> DataFrame:
    by_reason = refused.groupBy(
        F.col(FEED).alias("feed"), F.col(REASON).alias("reason"), "column"
    ).agg(F.count("*").alias("count"), F.min(F.struct("key", PAYLOAD)).alias("example"))
    return by_reason.withColumn("key", F.col("example.key"))


def _column(kind: Kind) -> Column:
    known = F.create_map(*[F.lit(part) for pair in _COLUMNS.items() for part in pair])
    blank = [F.when(F.trim(F.col(name).cast("string")) == "", F.lit(name)) for name in KEYS[kind]]
    absent = [F.when(F.col(name).isNull(), F.lit(name)) for name in KEYS[kind]]
    return (
        F.when(F.col(REASON) == "value_unreadable", F.get(UNREADABLE, F.lit(0)))
        .when(F.col(REASON) == "key_missing", F.coalesce(*absent, *blank))
        .otherwise(known[F.col(REASON)])
    )
