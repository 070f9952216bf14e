"""Tally: how many rows of each feed were taken and refused, and is a whole feed unreadable?"""

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.ingest.columns import (
    CORRUPT,
    FEED,
    FEED_COLUMNS,
    FILE,
    PAYLOAD,
    REASON,
    REPLACED,
    REQUIRED_COLUMNS,
    UNREADABLE,
    Kind,
)
from spark_jobs.ingest.content_hash import PICTURE_PROBLEMS
from spark_jobs.ingest.feed_files import plain_path
from spark_jobs.ingest.feeds import Feed
from spark_jobs.ingest.formats import READ_ERRORS, UnreadableFeed, missing_columns, unreadable
from spark_jobs.ingest.row_checks import key_unread

# One odd value is a bad row; a column without a single good one is a bad feed.
_FEW = 2


class EmptyNight(ValueError):
    """The night's feeds hold nothing: a night does not publish emptiness."""


@dataclass(frozen=True)
class Tally:
    """What was counted in one feed.

    Attributes:
        refused: rows that go to quarantine as a whole.
        corrupt: rows that could not be split into columns.
        with_value: rows that have a value of the right type, by column.
        unreadable: rows that have a value of another type, by column.
        example: one such value, by column.
        keyless: item rows that were refused and whose key could not be read.
        pictures: those that accepted rows name, without those past the most that an item may have.
        pictures_refused: how many of them cannot be used.
        file: one of the feed's files, one with trouble if there is one.
        replaced_in: file in which bytes that are not UTF-8 may have been replaced.
    """

    rows: int = 0
    refused: int = 0
    corrupt: int = 0
    with_value: Mapping[str, int] = field(default_factory=dict)
    unreadable: Mapping[str, int] = field(default_factory=dict)
    example: Mapping[str, str] = field(default_factory=dict)
    removals: int = 0
    keyless: int = 0
    pictures: int = 0
    pictures_refused: int = 0
    file: str | None = None
    replaced_in: str | None = None


def tallies(judged: DataFrame, kind: Kind) -> DataFrame:
    """Count what feeds hold: one row a feed that has rows; read it with ``collected``."""
    columns = FEED_COLUMNS[kind]
    unreadable = {name: F.array_contains(UNREADABLE, name) for name in columns}
    removal = F.col("is_deleted") if kind == "items" else F.lit(False)
    pictures = _picture_counts() if kind == "items" else {}
    return judged.groupBy(FEED).agg(
        F.count("*").alias("rows"),
        F.count(REASON).alias("refused"),
        _count_of(F.col(CORRUPT)).alias("corrupt"),
        _count_of(removal).alias("removals"),
        _count_of(key_unread() if kind == "items" else F.lit(False)).alias("keyless"),
        _by_column({name: F.count(name) for name in columns}).alias("with_value"),
        _by_column({name: _count_of(unreadable[name]) for name in columns}).alias("unreadable"),
        _by_column(
            {
                name: F.min(F.when(unreadable[name], F.get_json_object(PAYLOAD, f"$.{name}")))
                for name in columns
            }
        ).alias("example"),
        F.coalesce(F.min(F.when(F.size(UNREADABLE) > 0, F.col(FILE))), F.min(FILE)).alias("file"),
        F.min(F.when(F.col(REPLACED), F.col(FILE))).alias("replaced_in"),
        *(count.alias(name) for name, count in pictures.items()),
    )


def collected(tallied: DataFrame, feeds: Sequence[Feed]) -> dict[str, Tally]:
    """Run the count of ``tallies`` and return it by feed.

    Raises:
        UnreadableFeed: a file broke off or changed while it was read.
    """
    try:
        rows = [row.asDict() for row in tallied.collect()]
    except READ_ERRORS as error:
        # Spark does not say which feed it was reading: read each alone.
        problems = [said for feed in feeds if (said := _broken(feed)) is not None]
        if not problems:
            raise
        raise UnreadableFeed("\n".join(problems)) from error
    return {row.pop(FEED): Tally(**row) for row in rows}


def _broken(feed: Feed) -> str | None:
    try:
        feed.rows.write.format("noop").mode("overwrite").save()
    except READ_ERRORS as error:
        return unreadable(feed.source, feed.path, error)
    return None


def feed_problems(feed: Feed, tally: Tally) -> list[str]:
    """Return why the whole feed is unreadable, each problem with file, column and fix."""
    where = f"feed {feed.name!r}: {_plain(tally.file) or feed.path!r}"
    if tally.rows and tally.corrupt == tally.rows:
        return [
            f"{where}: not one line is {_row_word(feed)}. "
            f"Deliver the file as {feed.source.format}, or mend [[sources]] format."
        ]
    problems = _utf8_problems(feed, tally)
    readable = tally.rows - tally.corrupt
    if feed.source.format == "jsonl" and readable:
        missing = [name for name in REQUIRED_COLUMNS[feed.source.kind] if _absent(name, tally)]
        if missing:
            problems.append(
                f"{where}: {missing_columns(feed.source.kind, missing)}; no row has it. "
                "Add or rename the columns where the feed is written."
            )
    types = FEED_COLUMNS[feed.source.kind]
    problems += [
        f"{where}: column {name!r} should be {types[name]} but is not in any of {n} rows, "
        f"such as {tally.example.get(name)!r}. Mend the column where the feed is written."
        for name, n in tally.unreadable.items()
        if n >= _FEW and not tally.with_value.get(name)
    ]
    return problems


def refuse_unusable(feeds: Sequence[Feed], counted: Mapping[str, Tally]) -> None:
    """Stop the night where its feeds cannot be used.

    Raises:
        UnreadableFeed: a whole feed is unreadable; all of them in one message.
        EmptyNight: no required feed has a row, or a snapshot, which would remove everything, has
            none.
    """
    problems = [
        problem
        for feed in feeds
        for problem in feed_problems(feed, counted.get(feed.name, Tally()))
    ]
    if problems:
        raise UnreadableFeed("\n".join(problems))
    empty = [feed for feed in feeds if counted.get(feed.name, Tally()).rows == 0]
    required = [feed for feed in feeds if not feed.source.optional] or list(feeds)
    hollow = [
        feed for feed in empty if feed.source.mode == "snapshot" and feed.source.kind == "items"
    ]
    if all(feed in empty for feed in required) or hollow:
        where = ", ".join(f"{feed.name!r} at {feed.path!r}" for feed in hollow or required)
        raise EmptyNight(
            f"no rows at all in {where or 'the configuration: it has no [[sources]]'}. "
            "A night does not publish emptiness: deliver the feeds, then run the night again."
        )


def _absent(name: str, tally: Tally) -> bool:
    seen = tally.with_value.get(name, 0) + tally.unreadable.get(name, 0)
    # Removals need no title.
    expected = tally.rows - tally.corrupt - (tally.removals if name == "title" else 0)
    return seen == 0 and expected > 0


def _row_word(feed: Feed) -> str:
    return "a JSON object" if feed.source.format == "jsonl" else "a row of the header's columns"


def _utf8_problems(feed: Feed, tally: Tally) -> list[str]:
    if tally.replaced_in is None:
        return []
    line = first_bad_line(_plain(tally.replaced_in) or "")
    if line is None:
        return []
    return [
        f"feed {feed.name!r}: {_plain(tally.replaced_in)}: line {line} is not UTF-8. "
        "Write the file as UTF-8."
    ]


def first_bad_line(path: str) -> int | None:
    """Return the number of the first line of a local file that is not UTF-8; None if all are."""
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return None


def _plain(uri: str | None) -> str | None:
    return None if uri is None else plain_path(uri)


def _picture_counts() -> dict[str, Column]:
    refused = F.size(F.filter(PICTURE_PROBLEMS, lambda p: p["reason"] != "image_surplus"))
    # Of refused rows and removals no picture is looked at.
    counts = {"pictures": F.size("images") + refused, "pictures_refused": refused}
    looked_at = F.col(PICTURE_PROBLEMS).isNotNull()
    return {name: F.sum(F.when(looked_at, count).otherwise(0)) for name, count in counts.items()}


def _count_of(condition: Column) -> Column:
    return F.count(F.when(condition, F.lit(1)))


def _by_column(values: Mapping[str, Column]) -> Column:
    return F.map_from_arrays(F.array(*[F.lit(name) for name in values]), F.array(*values.values()))
