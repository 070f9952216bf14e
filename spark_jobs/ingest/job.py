"""Ingest one night's feeds: stage new, changed and removed items, and new interactions.
Reads the feeds of ``[[sources]]``; writes ``items``, ``interactions`` and ``quarantine``.

    spark-submit spark_jobs/ingest/job.py --config spark_jobs/conf/local.toml --ds 2026-01-31
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

from spark_jobs.config import Config
from spark_jobs.contracts import INTERACTIONS, ITEMS, QUARANTINE
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.ingest.checked_feeds import checked_feeds
from spark_jobs.ingest.interactions import accepted_events
from spark_jobs.ingest.items import item_changes
from spark_jobs.ingest.refusals import FeedsBroken
from spark_jobs.ingest.row_checks import quarantined_pictures, quarantined_rows
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step, job_main, record_state
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
    with checked_feeds(tables, config, night) as checked:
        refused = (
            quarantined_rows(checked.items, "items")
            .unionByName(quarantined_pictures(checked.items))
            .unionByName(quarantined_rows(checked.events, "interactions"))
        )
        writes: list[Callable[[], object]] = [
            partial(tables.record, refused, QUARANTINE, night, STAGE)
        ]
        if not checked.broken:
            changes = item_changes(checked.before, checked.tonight)
            writes += [
                partial(tables.stage, changes, ITEMS, night),
                partial(tables.stage, accepted_events(checked.events), INTERACTIONS, night),
            ]
        run_concurrently(writes)
    steps = checked.steps(time.monotonic() - started)
    record_state(tables, night, STAGE, checked.broken)
    if checked.broken:
        raise FeedsBroken(night, checked.broken, steps)
    return steps


if __name__ == "__main__":
    job_main(STAGE, run)
