"""Counts of the rows of feeds, and the checks on them that find a feed unreadable or empty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.ingest.columns import (
    CORRUPT,
    FEED,
    FEED_COLUMNS,
    FILE,
    GTIN_GIVEN,
    NOT_MEANT,
    OPEN_QUOTE,
    PAYLOAD,
    REASON,
    REPLACED,
    REQUIRED_COLUMNS,
    SUPERSEDED,
    UNREADABLE,
    Kind,
)
from spark_jobs.ingest.content_hash import PICTURE_PROBLEMS
from spark_jobs.ingest.reading.column_checks import UnreadableFeed, missing_columns
from spark_jobs.ingest.reading.csv_files import open_quote_line
from spark_jobs.ingest.reading.feed_files import plain_path
from spark_jobs.ingest.reading.feeds import Feed
from spark_jobs.ingest.reading.formats import READ_ERRORS, unreadable
from spark_jobs.ingest.reading.text_files import opened_bytes
from spark_jobs.ingest.row_checks import has_unreadable_key, is_refused

# So many values of another type, and not one of the right type, make a bad column; one value makes
# a bad row.
_LEAST_UNREADABLE = 2
_FILES_SHOWN = 5


class EmptyNight(ValueError):
    """The night's feeds have no rows: an empty night is not published."""


@dataclass(frozen=True)
class FeedCounts:
    """Counts of one feed of a night.

    Attributes:
        refused: rows that go to quarantine as a whole.
        superseded: changes that a later one of the same item has replaced.
        left_out: rows that a rule of ``[sources.columns]`` leaves out.
        gtins: accepted rows that name a GTIN.
        gtins_refused: those of them whose GTIN is none.
        gtin_refused: one such text.
        corrupt: rows that could not be split into columns.
        with_value: rows that have a value of the right type, by column.
        unreadable: rows that have a value of another type, by column.
        example: one such value, by column.
        keyless: item rows that were refused and whose key could not be read.
        pictures: pictures that accepted rows name, less those over ``ingest.max_images`` an item.
        pictures_refused: pictures of these that cannot be used.
        file: one of the feed's files; one with an unreadable value if there is one.
        replaced_in: files in which bytes that are not UTF-8 may have been replaced.
        open_quote_in: CSV file in which a value holds further rows.
    """

    rows: int = 0
    refused: int = 0
    superseded: int = 0
    left_out: int = 0
    gtins: int = 0
    gtins_refused: int = 0
    gtin_refused: str | None = None
    corrupt: int = 0
    with_value: Mapping[str, int] = field(default_factory=dict)
    unreadable: Mapping[str, int] = field(default_factory=dict)
    example: Mapping[str, str] = field(default_factory=dict)
    removals: int = 0
    keyless: int = 0
    pictures: int = 0
    pictures_refused: int = 0
    file: str | None = None
    replaced_in: Sequence[str] = ()
    open_quote_in: str | None = None


def count_rows(checked: DataFrame, kind: Kind) -> DataFrame:
    """Count the rows of each feed: one row a feed that has rows. Read by ``collected_counts``."""
    columns = FEED_COLUMNS[kind]
    unreadable = {name: F.array_contains(UNREADABLE, name) for name in columns}
    removal = F.col("is_deleted") if kind == "items" else F.lit(False)
    of_items = _picture_counts() | _gtin_counts() if kind == "items" else {}
    return checked.groupBy(FEED).agg(
        F.count("*").alias("rows"),
        _count_of(is_refused()).alias("refused"),
        _count_of(F.col(REASON) == SUPERSEDED).alias("superseded"),
        _count_of(F.col(REASON) == NOT_MEANT).alias("left_out"),
        _count_of(F.col(CORRUPT)).alias("corrupt"),
        _count_of(removal).alias("removals"),
        _count_of(has_unreadable_key() if kind == "items" else F.lit(False)).alias("keyless"),
        _by_column({name: F.count(name) for name in columns}).alias("with_value"),
        _by_column({name: _count_of(unreadable[name]) for name in columns}).alias("unreadable"),
        _by_column(
            {
                name: F.min(F.when(unreadable[name], F.get_json_object(PAYLOAD, f"$.{name}")))
                for name in columns
            }
        ).alias("example"),
        F.coalesce(F.min(F.when(F.size(UNREADABLE) > 0, F.col(FILE))), F.min(FILE)).alias("file"),
        F.array_sort(F.collect_set(F.when(F.col(REPLACED), F.col(FILE)))).alias("replaced_in"),
        F.min(F.when(F.col(OPEN_QUOTE), F.col(FILE))).alias("open_quote_in"),
        *(count.alias(name) for name, count in of_items.items()),
    )


def collected_counts(counted: DataFrame, feeds: Sequence[Feed]) -> dict[str, FeedCounts]:
    """Run the count of ``count_rows`` and return it by the feed's name.

    Raises:
        UnreadableFeed: a file broke off or changed while it was read.
    """
    try:
        rows = [row.asDict() for row in counted.collect()]
    except READ_ERRORS as error:
        # Spark's error does not name the feed: read each alone.
        problems = [problem for feed in feeds if (problem := _read_problem(feed)) is not None]
        if not problems:
            raise
        raise UnreadableFeed("\n".join(problems)) from error
    return {row.pop(FEED): FeedCounts(**row) for row in rows}


def _read_problem(feed: Feed) -> str | None:
    try:
        feed.rows.write.format("noop").mode("overwrite").save()
    except READ_ERRORS as error:
        return unreadable(feed.source, feed.path, error)
    return None


def feed_problems(feed: Feed, counts: FeedCounts) -> list[str]:
    """Return why a whole feed is unreadable: each problem with its file, column and remedy."""
    where = f"feed {feed.name!r}: {_plain(counts.file) or feed.path!r}"
    if counts.rows and counts.corrupt == counts.rows:
        return [
            f"{where}: no line is {_row_noun(feed)}. "
            f"Deliver the file as {feed.source.format}, or correct [[sources]] format."
        ]
    problems = _utf8_problems(feed, counts) + _quote_problems(feed, counts)
    readable = counts.rows - counts.corrupt
    if feed.source.format == "jsonl" and readable:
        missing = [name for name in REQUIRED_COLUMNS[feed.source.kind] if _absent(name, counts)]
        if missing:
            problems.append(
                f"{where}: {missing_columns(feed.source.kind, missing)} from all rows. "
                "Add or rename the columns where the feed is written."
            )
    types = FEED_COLUMNS[feed.source.kind]
    problems += [
        f"{where}: column {name!r} should be {types[name]}, but none of its {n} values is, for "
        f"example {counts.example.get(name)!r}. Correct the column where the feed is written."
        for name, n in counts.unreadable.items()
        if n >= _LEAST_UNREADABLE and not counts.with_value.get(name)
    ]
    return problems


def refuse_unusable(feeds: Sequence[Feed], counted: Mapping[str, FeedCounts]) -> None:
    """Refuse a night whose feeds are unreadable or empty.

    Raises:
        UnreadableFeed: whole feeds are unreadable; the message names all of them.
        EmptyNight: no required feed has a row, or a snapshot has none: it would remove all of its
            items.
    """
    problems = [
        problem
        for feed in feeds
        for problem in feed_problems(feed, counted.get(feed.name, FeedCounts()))
    ]
    if problems:
        raise UnreadableFeed("\n".join(problems))
    empty = [feed for feed in feeds if counted.get(feed.name, FeedCounts()).rows == 0]
    required = [feed for feed in feeds if not feed.source.optional] or list(feeds)
    snapshots = [
        feed for feed in empty if feed.source.mode == "snapshot" and feed.source.kind == "items"
    ]
    if all(feed in empty for feed in required) or snapshots:
        where = ", ".join(f"{feed.name!r} at {feed.path!r}" for feed in snapshots or required)
        raise EmptyNight(
            f"no rows in {where or 'the configuration, which has no [[sources]]'}. Refusing an "
            "empty night: deliver the feeds, then run the night again. Nothing was changed."
        )


def _absent(name: str, counts: FeedCounts) -> bool:
    seen = counts.with_value.get(name, 0) + counts.unreadable.get(name, 0)
    # Removals need no title.
    expected = counts.rows - counts.corrupt - (counts.removals if name == "title" else 0)
    return seen == 0 and expected > 0


def _row_noun(feed: Feed) -> str:
    return "a JSON object" if feed.source.format == "jsonl" else "a row of the header's columns"


def _utf8_problems(feed: Feed, counts: FeedCounts) -> list[str]:
    if feed.source.encoding != "utf-8":
        return []
    found = {file: first_bad_line(file) for file in map(plain_path, counts.replaced_in)}
    bad = [f"{file}: line {line}" for file, line in found.items() if line is not None]
    if not bad:
        return []
    more = f" and {len(bad) - _FILES_SHOWN} more files" if len(bad) > _FILES_SHOWN else ""
    return [
        f"feed {feed.name!r}: not UTF-8: {', '.join(bad[:_FILES_SHOWN])}{more}. Write them as "
        'UTF-8, or make such files a source of their own, with encoding = "cp1252" or alike.'
    ]


def _quote_problems(feed: Feed, counts: FeedCounts) -> list[str]:
    file = _plain(counts.open_quote_in)
    if file is None:
        return []
    line = None if "://" in file else open_quote_line(file, feed.source)
    at = "" if line is None else f" line {line}:"
    return [
        f"feed {feed.name!r}: {file}:{at} a quote is opened and not closed where its value ends, "
        "so that the rows after it are part of the value. Close it, and write a quote in a value "
        'as "".'
    ]


def first_bad_line(path: str) -> int | None:
    """Return the number of the first line of a local file that is not UTF-8; None if all are."""
    with opened_bytes(path) as file:
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
    # Pictures of refused rows and removals are not read.
    counts = {"pictures": F.size("images") + refused, "pictures_refused": refused}
    is_read = F.col(PICTURE_PROBLEMS).isNotNull()
    return {name: F.sum(F.when(is_read, count).otherwise(0)) for name, count in counts.items()}


def _gtin_counts() -> dict[str, Column]:
    given = F.col(GTIN_GIVEN).isNotNull() & F.col(REASON).isNull()
    is_none = given & F.col("gtin").isNull()
    return {
        "gtins": _count_of(given),
        "gtins_refused": _count_of(is_none),
        "gtin_refused": F.min(F.when(is_none, F.col(GTIN_GIVEN))),
    }


def _count_of(condition: Column) -> Column:
    return F.count(F.when(condition, F.lit(1)))


def _by_column(values: Mapping[str, Column]) -> Column:
    return F.map_from_arrays(F.array(*[F.lit(name) for name in values]), F.array(*values.values()))
