"""Refusals: rows and pictures refused by feed and reason, and the night stopped for too many."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.config import Config
from spark_jobs.ingest.columns import (
    FEED,
    FEED_COLUMNS,
    FILE,
    KEYS,
    PAYLOAD,
    REASON,
    UNREADABLE,
    Kind,
)
from spark_jobs.ingest.content_hash import PICTURE_PROBLEMS
from spark_jobs.ingest.feed_counts import FeedCounts
from spark_jobs.ingest.reading.feed_files import plain_path
from spark_jobs.ingest.row_checks import is_refused
from spark_jobs.night import Night
from spark_jobs.runs.stage import NightStopped, Step
from spark_jobs.warehouse.quarantine import wilson_lower_bound

_PICTURE = "picture"
# The column that a reason is about, where a message shows its value beside the row's key.
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
    """Rows or pictures of one feed refused for one reason.

    Attributes:
        column: column that the reason is about; None where it is about the whole row.
        count: number of rows or pictures.
        key: key of an example, without the user; empty where it has none.
        value: the column's value in the example, as the source wrote it; the whole row where it
            has no key.
        detail: what is wrong with the example, and what to do; of pictures.
        file: URI of the file that the example lies in; of rows of files.
    """

    feed: str
    reason: str
    column: str | None
    count: int
    key: str
    value: str | None
    detail: str | None = None
    file: str | None = None


def refusals(checked: Mapping[Kind, DataFrame]) -> list[Refusal]:
    """Count refused rows and pictures by feed, reason and column, the largest count first.

    Args:
        checked: by kind; items as ``checked_items`` returns them, interactions as
            ``checked_events`` or ``checked_event_rows`` do.
    """
    frames = [_rows(rows, kind) for kind, rows in checked.items()]
    frames += [_images(checked["items"])] if "items" in checked else []
    found = [Refusal(**row.asDict()) for row in reduce(DataFrame.unionByName, frames).collect()]
    return sorted(found, key=lambda r: (r.feed, -r.count, r.reason, r.column or ""))


def remarks(feed: str, counts: FeedCounts, found: Sequence[Refusal]) -> list[str]:
    """Return lines with a feed's refused rows and pictures: each reason, its count, an example."""
    mine = [refusal for refusal in found if refusal.feed == feed]
    rows = [refusal for refusal in mine if refusal.column != _PICTURE]
    images = [refusal for refusal in mine if refusal.column == _PICTURE]
    lines = []
    if counts.superseded:
        lines.append(f"changes: {counts.superseded:,} replaced by a later one of the same item")
    if counts.left_out:
        lines.append(f"left out by [sources.columns] values: {counts.left_out:,} rows")
    if counts.gtins_refused:
        lines.append(
            f"gtin: {counts.gtins_refused:,} of {counts.gtins:,} are no GTIN (length, check digit "
            f"or a placeholder), such as {counts.gtin_refused!r}: their items have none"
        )
    if rows:
        lines += [f"rows: {counts.refused:,} of {counts.rows:,} refused", *_listed(rows)]
    if counts.pictures or images:
        read = counts.pictures - counts.pictures_refused
        surplus = sum(r.count for r in images) - counts.pictures_refused
        named = counts.pictures + surplus
        refused = counts.pictures_refused
        share = f", {refused:,} refused ({refused / counts.pictures:.1%})" if refused else ""
        lines += [f"pictures: {named:,} named, {read:,} read{share}", *_listed(images)]
    return lines


def _listed(found: Sequence[Refusal]) -> list[str]:
    more = len(found) - _REASONS_SHOWN
    rest = [f"  and {more} more reasons, see quarantine"] if more > 0 else []
    return [f"  {_line(refusal)}" for refusal in found[:_REASONS_SHOWN]] + rest


def _line(refusal: Refusal) -> str:
    file = f", in {os.path.basename(plain_path(refusal.file))}" if refusal.file else ""
    return f"{_example(refusal)}{file}"


def _example(refusal: Refusal) -> str:
    counted, column = f"{refusal.reason} {refusal.count:,}", refusal.column
    key = _start(refusal.key or "")
    row = f" of {key!r}" if key else ""
    if refusal.value is None:
        return f"{counted}, such as {key!r}" if key else counted
    shown = _start(refusal.value)
    if refusal.reason == "key_missing":
        return f"{counted}: {column} is absent or blank, such as in {shown!r}"
    wanted = f" (should be {_TYPES[column or '']})" if refusal.reason == "value_unreadable" else ""
    name = "line" if column == "_line" else column
    why = f": {refusal.detail}" if refusal.detail else ""
    return f"{counted}, such as {name} {shown!r}{wanted}{row}{why}"


def _start(text: str) -> str:
    return text if len(text) <= _VALUE_SHOWN else f"{text[:_VALUE_SHOWN]} ..."


def _rows(checked: DataFrame, kind: Kind) -> DataFrame:
    # No user ids: these lines stay in terminals and logs, where a user cannot be erased.
    parts = [F.col(name).cast("string") for name in KEYS[kind] if name != "user_id"]
    refused = checked.filter(is_refused()).select(
        FEED,
        REASON,
        FILE,
        _column(kind).alias("column"),
        F.concat_ws("|", *parts).alias("key"),
        PAYLOAD,
    )
    path = F.concat(F.lit("$."), "column")
    row = F.col(f"example.{PAYLOAD}")
    value = F.call_function("get_json_object", row, path)
    whole, column = F.col("reason") == "key_missing", F.col("column")
    if kind == "interactions":
        value = F.when(~column.isin("user_id", "_line"), value)
        row = F.concat(F.lit("a row of "), F.coalesce(F.nullif("key", F.lit("")), F.lit("no item")))
    value = F.when(whole, row).otherwise(value).alias("value")
    return _counted(refused.withColumn("detail", F.lit(None).cast("string"))).select(
        *_NAMES, value, "example.detail"
    )


def _images(items: DataFrame) -> DataFrame:
    key = F.concat_ws("|", *KEYS["items"])
    problems = items.select(FEED, key.alias("key"), F.explode(PICTURE_PROBLEMS).alias("problem"))
    refused = problems.select(
        FEED,
        F.col("problem.reason").alias(REASON),
        F.lit(_PICTURE).alias("column"),
        "key",
        F.col("problem.path").alias(PAYLOAD),
        F.col("problem.detail").alias("detail"),
        F.lit(None).cast("string").alias(FILE),
    )
    value = F.col(f"example.{PAYLOAD}").alias("value")
    return _counted(refused).select(*_NAMES, value, "example.detail")


_NAMES = ("feed", "reason", "column", "count", "key", "file")


def _counted(refused: DataFrame) -> DataFrame:
    by_reason = refused.groupBy(
        F.col(FEED).alias("feed"), F.col(REASON).alias("reason"), "column"
    ).agg(
        F.count("*").alias("count"),
        F.min(F.struct("key", PAYLOAD, "detail", FILE)).alias("example"),
    )
    return by_reason.withColumns({"key": F.col("example.key"), "file": F.col(f"example.{FILE}")})


def _column(kind: Kind) -> Column:
    known = F.create_map(*[F.lit(part) for pair in _COLUMNS.items() for part in pair])
    blank = [F.when(F.trim(F.col(name).cast("string")) == "", F.lit(name)) for name in KEYS[kind]]
    absent = [F.when(F.col(name).isNull(), F.lit(name)) for name in KEYS[kind]]
    return (
        F.when(F.col(REASON) == "value_unreadable", F.get(UNREADABLE, F.lit(0)))
        .when(F.col(REASON) == "key_missing", F.coalesce(*absent, *blank))
        .otherwise(known[F.col(REASON)])
    )


class FeedsBroken(NightStopped):
    """Too large a share of a feed was refused. The rows are in quarantine; nothing was staged."""

    def __init__(self, night: Night, problems: Sequence[str], steps: Sequence[Step]) -> None:
        self.steps = steps
        reasons = [
            "\n".join([step.name, *(f"  {line}" for line in step.remarks)])
            for step in steps
            if step.remarks
        ]
        super().__init__(
            "\n".join(
                [
                    f"ingest stopped night {night}: too much of its feeds was refused. Nothing of "
                    "the night was staged.",
                    *(f"- {problem}" for problem in problems),
                    "Refused rows and pictures by feed (all of them are in the table quarantine):",
                    *reasons,
                    "Correct the feeds and run the night again from ingest on. Where a feed is "
                    "meant to be like this, raise the setting.",
                ]
            )
        )


def broken_feeds(counted: Mapping[str, FeedCounts], config: Config) -> list[str]:
    """Return a problem for each limit that a feed exceeds: feed, share, limit and setting.

    The limits hold for optional feeds too: these may be absent, but not broken. A wider limit of
    the audit (``audit.max_quarantined``) widens ingest's.
    """
    audit = config.audit.max_quarantined
    rows, images = (
        max(config.ingest.max_refused, audit),
        max(config.ingest.max_pictures_refused, audit),
    )
    problems = []
    for feed, counts in counted.items():
        problems += _exceeded(feed, "rows", counts.refused, counts.rows, (rows, "max_refused"))
        part, whole = counts.pictures_refused, counts.pictures
        problems += _exceeded(feed, "pictures", part, whole, (images, "max_pictures_refused"))
    return problems


def _exceeded(feed: str, unit: str, part: int, whole: int, limit: tuple[float, str]) -> list[str]:
    most, setting = limit
    if not whole or wilson_lower_bound(part, whole) <= most:
        return []
    return [
        f"feed {feed!r}: {part:,} of {whole:,} {unit} refused ({part / whole:.1%}); the limit is "
        f"{most:.0%}, and more where there are few {unit} ([ingest] {setting})"
    ]


def feed_remarks(
    counted: Mapping[str, FeedCounts], found: Sequence[Refusal], held: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Return the lines about each feed for the person who runs the night."""
    return {
        feed: [*remarks(feed, counts, found), *held.get(feed, ())]
        for feed, counts in counted.items()
    }


def audit_remarks(
    counted: Mapping[str, FeedCounts], found: Sequence[Refusal], most: float
) -> dict[str, list[str]]:
    """Return a line about each feed of which more was refused than the audit will accept.

    Ingest has a wider limit, so that such a night can still be grouped and trained on.

    Args:
        most: ``audit.max_quarantined``.
    """
    lines: dict[str, list[str]] = {}
    for feed, counts in counted.items():
        images = sum(r.count for r in found if r.feed == feed and r.column == _PICTURE)
        lines[feed] = [
            f"WARNING: {part:,} {noun} refused of {counts.rows:,} rows ({part / counts.rows:.1%}), "
            f"over audit.max_quarantined ({most:.1%}): the night's audit will stop it. Have the "
            "feed mended and run the night again from ingest on, or raise the setting if the feed "
            "is meant to be like this."
            for part, noun in ((counts.refused, "rows"), (images, "pictures"))
            if counts.rows and wilson_lower_bound(part, counts.rows) > most
        ]
    return lines
