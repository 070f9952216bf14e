"""Feeds of a night, read and checked: what ``ingest`` stages, and ``feed check`` looks at."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark.sql import DataFrame

from spark_jobs.config import Config
from spark_jobs.contracts import INTERACTIONS, ITEMS
from spark_jobs.engine.cached_frames import cached, persisted, with_short_plan
from spark_jobs.ingest.columns import FEED
from spark_jobs.ingest.feed_contents import (
    FeedContent,
    feed_contents,
    refuse_miscounted,
    rows_by_file,
    without_lines,
)
from spark_jobs.ingest.feed_counts import FeedCounts, collected_counts, count_rows, refuse_unusable
from spark_jobs.ingest.interactions import EVENT_KEYS, checked_events
from spark_jobs.ingest.items import (
    ITEM_COLUMNS,
    ITEM_KEYS,
    absent_items,
    checked_items,
    items_tonight,
    known_items,
)
from spark_jobs.ingest.reading.feeds import Feed, read_feeds, rows_of_kind
from spark_jobs.ingest.refusals import audit_remarks, broken_feeds, feed_remarks, refusals
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.suppression_list import without_forgotten
from spark_jobs.warehouse.tables import Tables


@dataclass(frozen=True)
class CheckedFeeds:
    """Rows of all feeds of a night, each accepted, superseded, left out or refused.

    Attributes:
        before: active items as of the night before; ``ITEM_COLUMNS``.
        tonight: active items as of tonight; ``ITEM_COLUMNS``.
        items: item rows, as ``checked_items`` returns them.
        events: interactions, as ``checked_events`` returns them.
        contents: what lies in the files of each feed.
        remarks: lines about each feed for the person who runs the night.
        broken: a problem for each limit that a feed exceeds.
    """

    feeds: Sequence[Feed]
    before: DataFrame
    tonight: DataFrame
    items: DataFrame
    events: DataFrame
    counted: Mapping[str, FeedCounts]
    contents: Mapping[str, FeedContent]
    remarks: Mapping[str, Sequence[str]]
    broken: Sequence[str]

    def steps(self, seconds: float) -> list[Step]:
        """Return a step for each feed, under its name."""
        return [self._step(feed, seconds) for feed in self.feeds]

    def _step(self, feed: Feed, seconds: float) -> Step:
        counts, content = self.counted.get(feed.name, FeedCounts()), self.contents[feed.name]
        return Step(
            feed.name,
            counts.rows,
            counts.rows - counts.refused,
            counts.refused,
            seconds=seconds,
            remarks=(*feed.remarks, *self.remarks.get(feed.name, ())),
            files=content.files,
            lines=content.lines,
            bytes=content.bytes,
        )


@contextmanager
def checked_feeds(tables: Tables, config: Config, night: Night) -> Iterator[CheckedFeeds]:
    """Read and check every feed of a night; nothing is written.

    Raises:
        UnreadableFeed: a whole feed is unreadable or absent.
        EmptyNight: there are no rows.
    """
    feeds = read_feeds(tables, config.sources, night)
    contents = feed_contents(tables.spark, feeds, config.ingest)
    snapshot = Snapshot.of_stage(tables, night)
    before = snapshot.state_before(ITEMS, ITEM_COLUMNS)
    known_before = snapshot.last_rows_before(ITEMS, (*ITEM_KEYS, "event_timestamp", "is_active"))
    earlier = snapshot.log_before(INTERACTIONS).select(*EVENT_KEYS)
    items = checked_items(
        rows_of_kind(tables, feeds, "items"),
        before,
        feeds=feeds,
        limits=config.ingest,
        store=tables.layout.media,
        partitions=tables.spark.sparkContext.defaultParallelism,
    )
    # Pictures are read once, and events sorted once.
    with cached(before) as before, persisted(items):
        # Counted first: an error of reading names its feed there.
        counted = collected_counts(count_rows(items, "items"), feeds)
        items = with_short_plan(items)
        whole, held = snapshots(feeds, counted)
        tonight = items_tonight(before, items, whole)
        interactions = rows_of_kind(tables, feeds, "interactions")
        kept = without_forgotten(tables, interactions)
        events = checked_events(
            kept,
            known_items(known_before, tonight.select(*ITEM_KEYS), end=night.end),
            earlier=earlier,
            night=night,
            limits=config.ingest,
        )
        with persisted(events):
            counted |= collected_counts(count_rows(events, "interactions"), feeds)
            events = with_short_plan(events)
            # Rows of forgotten users are read, and left out before the checks.
            has_forgotten = kept is not interactions
            read = rows_by_file([items, interactions if has_forgotten else events])
            # First: two rows taken for one also look like a quote that is not closed.
            refuse_miscounted(feeds, contents, read)
            refuse_unusable(feeds, counted)
            if has_forgotten:
                contents = without_lines(feeds, contents)
            is_clean = not any(t.refused or t.pictures_refused for t in counted.values())
            found = [] if is_clean else refusals({"items": items, "interactions": events})
            remarks = feed_remarks(
                counted, found, _held_back(before, items, held=held, counted=counted)
            )
            broken = broken_feeds(counted, config)
            if not broken:
                over = audit_remarks(counted, found, config.audit.max_quarantined)
                remarks = {feed: [*lines, *over[feed]] for feed, lines in remarks.items()}
            yield CheckedFeeds(
                feeds, before, tonight, items, events, counted, contents, remarks, broken
            )


def snapshots(
    feeds: Sequence[Feed], counted: Mapping[str, FeedCounts]
) -> tuple[Sequence[str], Sequence[str]]:
    """Return the names of the snapshot feeds that remove absent items, and of those held back.

    A snapshot is held back where the keys of some of its rows could not be read: an item that seems
    to be absent may be in one of these rows.
    """
    whole: list[str] = []
    held: list[str] = []
    for feed in feeds:
        if feed.source.kind == "items" and feed.source.mode == "snapshot":
            keyless = counted.get(feed.name, FeedCounts()).keyless
            (held if keyless else whole).append(feed.name)
    return whole, held


def _held_back(
    before: DataFrame, items: DataFrame, *, held: Sequence[str], counted: Mapping[str, FeedCounts]
) -> dict[str, list[str]]:
    """Return a remark for each snapshot whose removals were held back."""
    if not held:
        return {}
    absent = {row[FEED]: row["n"] for row in absent_items(before, items, held).collect()}
    return {
        feed: [
            f"absent items were not removed: {absent[feed]:,} items of the night before are "
            f"absent, and {counted[feed].keyless:,} rows have no readable key, so these rows may "
            "be theirs. Correct the rows (see quarantine); the next snapshot whose keys can all be "
            "read removes the items."
        ]
        for feed in held
        if feed in absent
    }
