"""The warehouse: do tables keep their contracts, when did the last night end, what is half done?"""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import fsspec
from pyspark.sql import functions as F

from spark_jobs.contracts import INTERACTIONS, NIGHTS, PUBLISHED, RELEASES, TABLES
from spark_jobs.engine.scratch import left_behind
from spark_jobs.night import Night
from spark_jobs.operations.doctor.findings import Finding
from spark_jobs.warehouse.delta_files import delta_folders, int96_files
from spark_jobs.warehouse.migration import outdated_ledgers
from spark_jobs.warehouse.schemas import schema_differences
from spark_jobs.warehouse.tables import Tables

# A nightly job that is one night late may be at work; two nights late, it is not.
_LATE_DAYS = 2
_SHOWN = 150
_NIGHTS_SHOWN = 10


def contracts(tables: Tables) -> Iterator[Finding]:
    """Hold the columns of every table against its contract."""
    there = [table for table in TABLES.values() if tables.exists(table)]
    if not there:
        do = "Run the first night: embedmill run --config CONFIG --ds NIGHT."
        yield Finding("tables", "warn", f"none yet in {tables.warehouse}", do)
        return
    outdated = outdated_ledgers(tables)
    if outdated:
        listed = ", ".join(table.name for table in outdated)
        do = "The next command that opens the warehouse brings them up to date."
        yield Finding("ledgers", "warn", f"written by an earlier version: {listed}", do)
    broken = {
        table.name: differences
        for table in there
        if table not in outdated
        and (differences := schema_differences(tables.read(table).schema, table))
    }
    for name, differences in broken.items():
        do = (
            "Another version of embedmill wrote it: see CHANGELOG.md on how its contract changed, "
            "or run that version."
        )
        yield Finding(f"table {name}", "bad", "; ".join(differences), do)
    if not broken:
        yield Finding("tables", "ok", f"{len(there)} of {len(TABLES)}, columns as in contracts")


def times(tables: Tables, earliest: date) -> Iterator[Finding]:
    """Look for times that an earlier version let in, or wrote as Arrow readers misread them.

    Args:
        earliest: ``ingest.earliest_event``.
    """
    found = [*_int96(tables), *_too_old(tables, earliest)]
    yield from found or [Finding("times", "ok", f"none before {earliest}, and no INT96")]


def _int96(tables: Tables) -> Iterator[Finding]:
    folders = delta_folders(tables.warehouse)
    old = [f for f in folders if int96_files(tables.spark, f"{tables.warehouse}/{f}")]
    if old:
        seen = (
            f"{len(old)} tables, such as {old[0]}, have files with times as INT96: deltalake "
            "cannot read one with a time before 1677, and Polars reads another time"
        )
        yield Finding("times", "warn", seen, "embedmill maintain writes them anew.")


def _too_old(tables: Tables, earliest: date) -> Iterator[Finding]:
    old = tables.read(INTERACTIONS).filter(F.col("occurred_at") < F.lit(earliest))
    nights = old.groupBy("ds").count().orderBy("ds").collect()
    if nights:
        count = sum(row["count"] for row in nights)
        listed = ", ".join(str(row["ds"]) for row in nights[:_NIGHTS_SHOWN])
        listed += f" and {more} more" if (more := len(nights) - _NIGHTS_SHOWN) > 0 else ""
        do = (
            "Run these nights again from their feeds: such events go to quarantine now. "
            "Where they are real, lower ingest.earliest_event."
        )
        seen = f"{count:,} interactions before {earliest}, of nights {listed}"
        yield Finding("times", "warn", seen, do)


def nights(tables: Tables, now: datetime) -> Iterator[Finding]:
    """Say which night was published last, and how long ago that is."""
    last = tables.last_published()
    if last is None:
        yield Finding(
            "nights",
            "warn",
            "none is published",
            "Run a night: embedmill run --config CONFIG --ds NIGHT.",
        )
        return
    days = (now.astimezone(UTC) - last.end).days
    ago = f"{days} days ago" if days != 1 else "1 day ago"
    if days > _LATE_DAYS:
        do = f"Run the nights after {last}: embedmill run --config CONFIG --ds NIGHT"
        yield Finding("nights", "warn", f"{last} is the last published, {ago}", do)
    else:
        yield Finding("nights", "ok", f"{last} is the last published")


def half_done(tables: Tables) -> Iterator[Finding]:
    """Look for what was begun and not ended."""
    found = [*_unpublished(tables), *_backfills(tables), *_scratch(tables)]
    yield from found
    if not found:
        yield Finding("half done", "ok", "nothing")


def _unpublished(tables: Tables) -> Iterator[Finding]:
    """Yield the nights after the last published one of which rows are staged."""
    last = tables.last_published()
    staged: set[Night] = set()
    for table in PUBLISHED:
        staged |= {
            Night(row["ds"]) for row in tables.all_staged(table).select("ds").distinct().collect()
        }
    for night in sorted(night for night in staged if last is None or night > last):
        rows = tables.read(NIGHTS).filter(F.col("ds") == F.lit(night.ds)).collect()
        why = next((f": {_short(row['detail'])}" for row in rows if row["detail"]), "")
        do = f"Mend its input and run it again: embedmill run --config CONFIG --ds {night}."
        yield Finding(f"night {night}", "warn", f"staged, not published{why}", do)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN].rstrip()} ..."


def _backfills(tables: Tables) -> Iterator[Finding]:
    filesystem, root = fsspec.url_to_fs(tables.layout.backfills)
    if not filesystem.exists(root):
        return
    building = _building(tables)
    for path in sorted(filesystem.ls(root, detail=False)):
        name = path.rstrip("/").rsplit("/", 1)[-1]
        if name in building:
            go_on = f"embedmill release backfill --config CONFIG {name}"
            do = f"Go on with it: {go_on}; or retire {name}."
            yield Finding(f"backfill {name}", "warn", "begun, not ended", do)
        else:
            do = "embedmill maintain removes it."
            yield Finding(f"backfill {name}", "warn", "left over", do)


def _building(tables: Tables) -> set[str]:
    rows = tables.read(RELEASES).groupBy("release").agg(F.max_by("state", "sequence").alias("s"))
    return {row["release"] for row in rows.filter("s = 'building'").collect()}


def _scratch(tables: Tables) -> Iterator[Finding]:
    filesystem, _ = fsspec.url_to_fs(tables.warehouse)
    files = [file for path in left_behind(tables.layout.tmp) for file in filesystem.find(path)]
    if files:
        seen = f"{len(files)} files of a run that was killed, or is at work"
        yield Finding("scratch", "warn", seen, "embedmill maintain removes them.")
