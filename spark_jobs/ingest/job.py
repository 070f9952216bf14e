"""Ingest one night's feeds: stage new, changed and removed items, and new interactions.
Reads the feeds of ``[[sources]]``; writes ``items``, ``interactions`` and ``quarantine``.

    spark-submit spark_jobs/ingest/job.py --config spark_jobs/conf/local.toml --ds 2026-01-31
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from pyspark.sql import DataFrame

from spark_jobs.config import Config
from spark_jobs.contracts import INTERACTIONS, ITEMS, QUARANTINE
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.ingest.columns import FEED
from spark_jobs.ingest.feed_contents import (
    FeedContent,
    feed_contents,
    refuse_miscounted,
    rows_by_file,
    without_lines,
)
from spark_jobs.ingest.feed_counts import FeedCounts, collected_counts, count_rows, refuse_unusable
from spark_jobs.ingest.interactions import EVENT_KEYS, accepted_events, checked_events
from spark_jobs.ingest.items import (
    ITEM_COLUMNS,
    ITEM_KEYS,
    absent_items,
    checked_items,
    item_changes,
    items_tonight,
    known_items,
)
from spark_jobs.ingest.reading.feeds import Feed, read_feeds, rows_of_kind
from spark_jobs.ingest.refusals import (
    FeedsBroken,
    audit_remarks,
    broken_feeds,
    feed_remarks,
    refusals,
)
from spark_jobs.ingest.row_checks import quarantined_pictures, quarantined_rows
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step, job_main, record_state
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.suppression_list import without_forgotten
from spark_jobs.warehouse.tables import Tables

STAGE = "ingest"


def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
    """Stage tonight's changes of items and interactions; quarantine rows that cannot be used.

    Every feed is read and checked before the first write.

    Returns:
        one step a feed, under the feed's name.

    Raises:
        UnreadableFeed: a whole feed is unreadable or absent; nothing is written.
        EmptyNight: there are no rows; nothing is written.
        FeedsBroken: too much of a feed was refused; quarantine is written, and nothing is staged.
    """
    started = time.monotonic()
    feeds = read_feeds(tables, config.sources, night)
    contents = feed_contents(tables.spark, feeds, config.ingest)
    snapshot = Snapshot.of_stage(tables, night)
    before = snapshot.state_before(ITEMS, ITEM_COLUMNS)
    known_before = snapshot.last_rows_before(ITEMS, (*ITEM_KEYS, "event_timestamp", "is_active"))
    earlier = snapshot.log_before(INTERACTIONS).select(*EVENT_KEYS)
    items = checked_items(
        rows_of_kind(tables, feeds, "items"),
        before,
        changes=[feed.name for feed in feeds if feed.source.mode == "changes"],
        limits=config.ingest,
        partitions=tables.spark.sparkContext.defaultParallelism,
    )
    with _kept(before), _kept(items):
        counted = collected_counts(count_rows(items, "items"), feeds)
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
        with _kept(events):
            counted |= collected_counts(count_rows(events, "interactions"), feeds)
            refuse_unusable(feeds, counted)
            # Rows of forgotten users are read, and left out before the checks.
            whole_events = events if kept is interactions else interactions
            refuse_miscounted(feeds, contents, rows_by_file([items, whole_events]))
            refused = (
                quarantined_rows(items, "items")
                .unionByName(quarantined_pictures(items))
                .unionByName(quarantined_rows(events, "interactions"))
            )
            broken = broken_feeds(counted, config)
            writes: list[Callable[[], object]] = [
                partial(tables.record, refused, QUARANTINE, night, STAGE)
            ]
            if not broken:
                writes += [
                    partial(tables.stage, item_changes(before, tonight), ITEMS, night),
                    partial(tables.stage, accepted_events(events), INTERACTIONS, night),
                ]
            run_concurrently(writes)
            is_clean = not any(t.refused or t.pictures_refused for t in counted.values())
            found = [] if is_clean else refusals(items, events)
        remarks = feed_remarks(
            counted, found, _held_back(before, items, held=held, counted=counted)
        )
    if not broken:
        for feed, lines in audit_remarks(counted, found, config.audit.max_quarantined).items():
            remarks[feed] += lines
    if kept is not interactions:
        contents = without_lines(feeds, contents)
    steps = _steps(feeds, counted, contents, remarks, time.monotonic() - started)
    record_state(tables, night, STAGE, broken)
    if broken:
        raise FeedsBroken(night, broken, steps)
    return steps


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


def _steps(
    feeds: Sequence[Feed],
    counted: Mapping[str, FeedCounts],
    contents: Mapping[str, FeedContent],
    remarks: Mapping[str, Sequence[str]],
    seconds: float,
) -> list[Step]:
    steps = []
    for feed in feeds:
        counts, content = counted.get(feed.name, FeedCounts()), contents[feed.name]
        step = Step(
            feed.name,
            counts.rows,
            counts.rows - counts.refused,
            counts.refused,
            seconds=seconds,
            remarks=(*feed.remarks, *remarks.get(feed.name, ())),
            files=content.files,
            lines=content.lines,
            bytes=content.bytes,
        )
        steps.append(step)
    return steps


@contextmanager
def _kept(rows: DataFrame) -> Iterator[None]:
    """Persist a frame that is read several times: pictures are read and events sorted once."""
    rows.persist()
    try:
        yield
    finally:
        rows.unpersist()


if __name__ == "__main__":
    job_main(STAGE, run)
