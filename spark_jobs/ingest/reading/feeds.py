"""Feeds of a night: find them by their configuration and open them as frames."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.engine.local_frames import local_frame
from spark_jobs.ingest.columns import (
    BOOKKEEPING,
    FEED,
    FEED_COLUMNS,
    FEED_RANK,
    Kind,
    feed_ddl,
)
from spark_jobs.ingest.media.folders import MediaFolders
from spark_jobs.ingest.reading.column_checks import UnreadableFeed
from spark_jobs.ingest.reading.formats import FILE_FORMATS, AbsentFeed, feed_rows
from spark_jobs.ingest_config import Source
from spark_jobs.night import Night
from spark_jobs.warehouse.tables import Tables


@dataclass(frozen=True)
class Feed:
    """A feed of tonight.

    Attributes:
        path: file or folder, ``{ds}`` filled in.
        rows: the columns of its kind and the bookkeeping columns, see ``columns.py``.
        media: where its pictures may lie.
        remarks: about its columns, for the person who runs the night.
        files: that the rows are read from; none of a Delta table or a public data set.
    """

    source: Source
    path: str
    rows: DataFrame
    media: MediaFolders
    remarks: Sequence[str] = ()
    files: Sequence[str] = ()

    @property
    def name(self) -> str:
        return self.source.name


def read_feeds(tables: Tables, sources: Sequence[Source], night: Night) -> list[Feed]:
    """Open every feed of tonight; an optional one that is absent is left out.

    Rows are read lazily, except where Spark reads some to find the columns.

    Raises:
        UnreadableFeed: names of feeds clash, a required feed is absent, files of one would not be
            read, columns are missing or mistyped, or a file is not of its format. The message
            lists the problems of all feeds.
    """
    problems = _name_problems(sources)
    paths = [feed_path(source, night) for source in sources]
    feeds: list[Feed] = []
    for rank, (source, path) in enumerate(zip(sources, paths, strict=True)):
        try:
            read = feed_rows(tables, source, path, night, apart=paths)
        except AbsentFeed as error:
            problems += [] if source.optional else [str(error)]
        except UnreadableFeed as error:
            problems.append(str(error))
        else:
            rows = _placed(read.rows, source, rank)
            media = media_folders(source, path, night)
            remarks = (*read.remarks, *_absent_roots(media))
            feeds.append(Feed(source, path, rows, media, remarks, read.files))
    if problems:
        raise UnreadableFeed("\n".join(problems))
    return feeds


def rows_of_kind(tables: Tables, feeds: Sequence[Feed], kind: Kind) -> DataFrame:
    """Return the rows of all feeds of a kind; an empty frame where there is no such feed."""
    frames = [feed.rows for feed in feeds if feed.source.kind == kind]
    if not frames:
        return local_frame(tables.spark, [], feed_ddl(kind))
    return reduce(DataFrame.unionByName, frames)


def feed_path(source: Source, night: Night) -> str:
    """Return the path of a source's feed of a night; absolute unless it is a URL."""
    return _of_night(source.path, night)


def feed_folder(source: Source, path: str) -> str:
    """Return the folder that the feed's picture paths are relative to."""
    is_folder = source.format not in FILE_FORMATS or os.path.isdir(path)
    return path if is_folder else os.path.dirname(path)


def media_folders(source: Source, path: str, night: Night) -> MediaFolders:
    """Return where the pictures of a feed of a night may lie.

    Args:
        path: of the feed.
    """
    roots = tuple(_of_night(root, night) for root in source.media_roots)
    return MediaFolders(source.name, feed_folder(source, path), roots)


def _of_night(path: str, night: Night) -> str:
    path = path.replace("{ds}", str(night))
    return path if "://" in path else os.path.abspath(path)


def _absent_roots(media: MediaFolders) -> list[str]:
    return [
        f"media root {root!r} is no folder. Mount it, or correct media_roots of source "
        f"{media.source!r}."
        for root in media.roots
        if not os.path.isdir(root)
    ]


def _name_problems(sources: Sequence[Source]) -> list[str]:
    names = [source.name for source in sources]
    clashes = sorted({name for name in names if names.count(name) > 1})
    odd = sorted({name for name in names if not name.replace("_", "").replace("-", "").isalnum()})
    problems = [f"config: {name!r} is the name of several sources. Rename one." for name in clashes]
    problems += [
        f"config: source name {name!r} should have only letters, digits, '_' and '-'. Rename it."
        for name in odd
    ]
    return problems


def _placed(rows: DataFrame, source: Source, rank: int) -> DataFrame:
    place = {FEED: F.lit(source.name), FEED_RANK: F.lit(rank)}
    return rows.withColumns(place).select(*FEED_COLUMNS[source.kind], *BOOKKEEPING)
