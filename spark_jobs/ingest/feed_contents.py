"""Contents of a night's feeds, counted without Spark, and held against the rows that it read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.ingest.columns import FEED, FILE
from spark_jobs.ingest.reading.column_checks import UnreadableFeed
from spark_jobs.ingest.reading.feed_files import plain_path, remote_bytes
from spark_jobs.ingest.reading.feeds import Feed
from spark_jobs.ingest.reading.file_contents import UnreadableFile, file_contents
from spark_jobs.ingest.reading.formats import FILE_FORMATS
from spark_jobs.ingest_config import IngestConfig

_FILES_SHOWN = 10


@dataclass(frozen=True)
class FeedContent:
    """Content of a feed; nothing of one whose files are not known.

    Attributes:
        files: number of files.
        lines: physical lines; None where the format has none, or they were not counted.
        bytes: on disk.
        rows: rows of each file, by its path; without those that were not counted.
    """

    files: int | None = None
    lines: int | None = None
    bytes: int | None = None
    rows: Mapping[str, int] = field(default_factory=dict)


def feed_contents(
    spark: SparkSession, feeds: Sequence[Feed], limits: IngestConfig
) -> dict[str, FeedContent]:
    """Count what lies in the files of each feed; the lines and rows of local files alone.

    Raises:
        UnreadableFeed: files have lines without an end, unpack to too much, or are broken. The
            message lists the problems of all feeds.
    """
    contents: dict[str, FeedContent] = {}
    problems = []
    for feed in feeds:
        try:
            contents[feed.name] = _feed_content(spark, feed, limits.max_feed_bytes)
        except UnreadableFile as error:
            problems.append(f"feed {feed.name!r}: {error}")
    if problems:
        raise UnreadableFeed("\n".join(problems))
    return contents


def _feed_content(spark: SparkSession, feed: Feed, most_bytes: int) -> FeedContent:
    if feed.source.format == "delta":
        detail = DeltaTable.forPath(spark, feed.path).detail().collect()[0]
        return FeedContent(detail["numFiles"], None, detail["sizeInBytes"])
    if feed.source.format not in FILE_FORMATS:
        return FeedContent()
    if "://" in feed.path:
        packed = remote_bytes(spark, feed.path, feed.files)
        return FeedContent(len(feed.files), None, packed)
    counted = file_contents(feed.files, feed.source, most_bytes)
    unpacked = sum(content.unpacked for content in counted.values())
    if unpacked > most_bytes:
        raise UnreadableFile(
            f"{feed.path}: its files are {unpacked:,} bytes unpacked; the limit is {most_bytes:,} "
            "([ingest] max_feed_bytes). Raise it if the feed is that large."
        )
    lines = [content.lines for content in counted.values() if content.lines is not None]
    return FeedContent(
        len(counted),
        sum(lines) if lines and len(lines) == len(counted) else None,
        sum(content.packed for content in counted.values()),
        {file: c.rows for file, c in counted.items() if c.rows is not None},
    )


def without_lines(
    feeds: Sequence[Feed], contents: Mapping[str, FeedContent]
) -> dict[str, FeedContent]:
    """Return the contents without the lines of interactions.

    Beside the rows of all other users, they would be a count of those of forgotten users.
    """
    events = {feed.name for feed in feeds if feed.source.kind == "interactions"}
    return {
        name: replace(content, lines=None) if name in events else content
        for name, content in contents.items()
    }


def rows_by_file(frames: Sequence[DataFrame]) -> dict[tuple[str, str], int]:
    """Return the rows of frames by feed and path of the file; rows of no known file are left out.

    Args:
        frames: _feed, _file.
    """
    rows = reduce(DataFrame.unionByName, [frame.select(FEED, FILE) for frame in frames])
    counted = rows.filter(F.col(FILE).isNotNull()).groupBy(FEED, FILE).count().collect()
    return {(row[FEED], plain_path(row[FILE])): row["count"] for row in counted}


def refuse_miscounted(
    feeds: Sequence[Feed],
    contents: Mapping[str, FeedContent],
    read: Mapping[tuple[str, str], int],
) -> None:
    """Refuse a night in which Spark read other rows of a file than lie in it.

    Args:
        read: as ``rows_by_file`` returns them.

    Raises:
        UnreadableFeed: the message names each such file, its rows and those that were read.
    """
    problems = [problem for feed in feeds for problem in _miscounted(feed, contents, read)]
    if problems:
        raise UnreadableFeed("\n".join(problems))


def _miscounted(
    feed: Feed, contents: Mapping[str, FeedContent], read: Mapping[tuple[str, str], int]
) -> list[str]:
    wrong = [
        f"{file}: {rows:,} rows lie in it, and Spark read {read.get((feed.name, file), 0):,}"
        for file, rows in contents[feed.name].rows.items()
        if read.get((feed.name, file), 0) != rows
    ]
    if not wrong:
        return []
    more = f" and {len(wrong) - _FILES_SHOWN} more files" if len(wrong) > _FILES_SHOWN else ""
    cause = (
        "End all lines of a file alike (LF, CR LF or CR), close each quote, and write a quote in "
        'a value as ""'
        if feed.source.format == "csv"
        else "The file may have changed meanwhile: deliver it again, whole and under its final name"
    )
    return [f"feed {feed.name!r}: {'; '.join(wrong[:_FILES_SHOWN])}{more}. {cause}."]
