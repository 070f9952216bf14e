"""Take in one night's feeds: which items and interactions are new, changed or gone?

Reads the feeds of ``[[sources]]``; writes ``items``, ``interactions`` and ``quarantine``.

    spark-submit spark_jobs/ingest/job.py --config spark_jobs/conf/local.toml --ds 2026-01-31
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.config import Config
from spark_jobs.contracts import INTERACTIONS, ITEMS, QUARANTINE
from spark_jobs.forgotten import without_forgotten
from spark_jobs.ingest.feeds import Feed, read_feeds, rows_of_kind
from spark_jobs.ingest.interactions import EVENT_KEYS, accepted_events, judged_events
from spark_jobs.ingest.items import (
    ITEM_COLUMNS,
    ITEM_KEYS,
    item_changes,
    items_tonight,
    judged_items,
)
from spark_jobs.ingest.quarantined import quarantined_pictures, quarantined_rows
from spark_jobs.ingest.tally import Tally, collected, refuse_unusable, tallies
from spark_jobs.nights import Night
from spark_jobs.parallel import at_once
from spark_jobs.stage import Step, job_main
from spark_jobs.tables import Tables


def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
    """Stage tonight's changes of items and interactions; quarantine what cannot be used.

    Every feed is read and judged before the first write.

    Returns:
        one step a feed, under the feed's name.

    Raises:
        UnreadableFeed: a whole feed is unreadable or absent; nothing is written.
        EmptyNight: there are no rows; nothing is written.
    """
    started = time.monotonic()
    feeds = read_feeds(tables, config.sources, night)
    before = tables.before(ITEMS, night, ITEM_COLUMNS)
    earlier = tables.read(INTERACTIONS).filter(F.col("ds") < F.lit(night.ds)).select(*EVENT_KEYS)
    snapshots = [feed.name for feed in feeds if feed.source.mode == "snapshot"]
    items = judged_items(
        rows_of_kind(tables, feeds, "items"),
        before,
        limits=config.ingest,
        partitions=tables.spark.sparkContext.defaultParallelism,
    )
    with _kept(before), _kept(items):
        tonight = items_tonight(before, items, snapshots)
        events = judged_events(
            without_forgotten(tables, rows_of_kind(tables, feeds, "interactions")),
            tonight.select(*ITEM_KEYS),
            earlier=earlier,
            night=night,
            limits=config.ingest,
        )
        with _kept(events):
            counted = collected(tallies(items, "items"), feeds)
            counted |= collected(tallies(events, "interactions"), feeds)
            refuse_unusable(feeds, counted)
            refused = (
                quarantined_rows(items, "items")
                .unionByName(quarantined_pictures(items))
                .unionByName(quarantined_rows(events, "interactions"))
            )
            writes: list[Callable[[], object]] = [
                partial(tables.stage, item_changes(before, tonight), ITEMS, night),
                partial(tables.stage, accepted_events(events), INTERACTIONS, night),
                partial(tables.record, refused, QUARANTINE, night, "ingest"),
            ]
            at_once(writes)
    return _steps(feeds, counted, time.monotonic() - started)


def _steps(feeds: Sequence[Feed], counted: dict[str, Tally], seconds: float) -> list[Step]:
    steps = []
    for feed in feeds:
        tally = counted.get(feed.name, Tally())
        taken = tally.rows - tally.refused
        steps.append(Step(feed.name, tally.rows, taken, tally.refused, seconds=seconds))
    return steps


@contextmanager
def _kept(rows: DataFrame) -> Iterator[None]:
    """Keep a frame that is read more than once: pictures are read and events sorted once."""
    rows.persist()
    try:
        yield
    finally:
        rows.unpersist()


if __name__ == "__main__":
    job_main("ingest", run)
