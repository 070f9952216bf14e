"""Rows of a stranger's file as a proposed source reads them, and those that it would refuse."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.engine.cached_frames import persisted
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.ingest.columns import FEED_COLUMNS, PAYLOAD, REASON, UNREADABLE
from spark_jobs.ingest.feed_counts import FeedCounts, collected_counts, count_rows, feed_problems
from spark_jobs.ingest.items import checked_items
from spark_jobs.ingest.reading.feeds import Feed, read_feeds
from spark_jobs.ingest.refusals import feed_remarks, refusals
from spark_jobs.ingest.row_checks import checked_event_rows, is_refused
from spark_jobs.ingest_config import IngestConfig, Source
from spark_jobs.night import Night
from spark_jobs.warehouse.tables import Tables


@dataclass(frozen=True)
class SniffedRows:
    """Rows of a file, checked.

    Attributes:
        rows: the columns of the kind, _reason (null where accepted), _payload, _unreadable.
        remarks: about its columns, and each reason for which rows or pictures are refused.
        problems: why the file as a whole cannot be read so.
    """

    source: Source
    rows: DataFrame
    counts: FeedCounts
    remarks: Sequence[str]
    problems: Sequence[str]

    def accepted(self) -> DataFrame:
        """Return the rows that would be read, in the columns of their kind."""
        accepted = self.rows.filter(F.col(REASON).isNull())
        return accepted.select(*FEED_COLUMNS[self.source.kind])

    def refused(self) -> DataFrame:
        """Return each row that would be refused: reason, columns that are unreadable, the row."""
        return self.rows.filter(is_refused()).select(
            F.col(REASON).alias("reason"),
            F.concat_ws(", ", UNREADABLE).alias("column"),
            F.col(PAYLOAD).alias("row"),
        )


@contextmanager
def sniffed_rows(tables: Tables, source: Source, limits: IngestConfig) -> Iterator[SniffedRows]:
    """Read a file by a source, and check each row by its own values, and items by their keys.

    Whether the items of events exist, and whether removed items did, only a night can tell.

    Args:
        source: of one file or folder.

    Raises:
        UnreadableFeed: the whole file is unreadable; columns are missing.
    """
    night = Night(datetime.now(UTC).date())
    (feed,) = read_feeds(tables, [source], night)
    with persisted(_checked(tables, feed, night, limits)) as checked:
        counted = collected_counts(count_rows(checked, source.kind), [feed])
        counts = counted.get(feed.name, FeedCounts())
        found = refusals({source.kind: checked})
        lines = [*feed.remarks, *feed_remarks({feed.name: counts}, found, {})[feed.name]]
        yield SniffedRows(source, checked, counts, lines, feed_problems(feed, counts))


def _checked(tables: Tables, feed: Feed, night: Night, limits: IngestConfig) -> DataFrame:
    if feed.source.kind == "interactions":
        return checked_event_rows(feed.rows, night, limits)
    nothing = local_frame(tables.spark, [], "domain string, item_id string")
    items = checked_items(
        feed.rows, nothing, feeds=[feed], limits=limits, store=tables.layout.media, partitions=2
    )
    return items.withColumn(REASON, F.when(F.col(REASON) != "unknown_item", F.col(REASON)))
