"""Checks of the warehouse: columns, times, the last published night, unfinished work."""

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

# A nightly job that is one night late may still be running; one two nights late is not.
_LATE_DAYS = 2
_SHOWN = 150
_NIGHTS_SHOWN = 10


def contracts(tables: Tables) -> Iterator[Finding]:
    """Compare the columns of every table with its contract."""
    existing = [table for table in TABLES.values() if tables.exists(table)]
    if not existing:
        advice = "Run the first night: embedmill run --config CONFIG --ds NIGHT."
        yield Finding("tables", "warn", f"none yet in {tables.warehouse}", advice)
        return
    outdated = outdated_ledgers(tables)
    if outdated:
        listed = ", ".join(table.name for table in outdated)
        advice = "The next command that opens the warehouse brings them up to date."
        yield Finding("ledgers", "warn", f"written by an earlier version: {listed}", advice)
    broken = {
        table.name: "; ".join(differences)
        for table in existing
        if table not in outdated
        and (differences := schema_differences(tables.read(table).schema, table))
    }
    for name, problems in broken.items():
        advice = (
            "Another version of embedmill wrote it: see CHANGELOG.md on how its contract changed, "
            "or run that version."
        )
        yield Finding(f"table {name}", "bad", problems, advice)
    if not broken:
        seen = f"{len(existing)} of {len(TABLES)} exist, columns as in their contracts"
        yield Finding("tables", "ok", seen)


def times(tables: Tables, earliest: date) -> Iterator[Finding]:
    """Find times that an earlier version accepted, or wrote so that Arrow readers misread them.

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
        yield Finding("times", "warn", seen, "Run embedmill maintain: it rewrites the files.")


def _too_old(tables: Tables, earliest: date) -> Iterator[Finding]:
    old = tables.read(INTERACTIONS).filter(F.col("occurred_at") < F.lit(earliest))
    nights = old.groupBy("ds").count().orderBy("ds").collect()
    if nights:
        count = sum(row["count"] for row in nights)
        listed = ", ".join(str(row["ds"]) for row in nights[:_NIGHTS_SHOWN])
        listed += f" and {more} more" if (more := len(nights) - _NIGHTS_SHOWN) > 0 else ""
        advice = (
            "Run these nights again from their feeds: such events go to quarantine now. "
            "If the times are real, lower ingest.earliest_event."
        )
        seen = f"{count:,} interactions before {earliest}, of nights {listed}"
        yield Finding("times", "warn", seen, advice)


def nights(tables: Tables, now: datetime) -> Iterator[Finding]:
    """Find the last published night, and how long ago it was."""
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
        advice = f"Run the nights after {last}: embedmill run --config CONFIG --ds NIGHT."
        yield Finding("nights", "warn", f"{last} is the last published, {ago}", advice)
    else:
        yield Finding("nights", "ok", f"{last} is the last published")


def half_done(tables: Tables) -> Iterator[Finding]:
    """Find nights and backfills that were started but not finished, and abandoned scratch."""
    found = [*_unpublished(tables), *_backfills(tables), *_scratch(tables)]
    yield from found
    if not found:
        yield Finding("half done", "ok", "nothing")


def _unpublished(tables: Tables) -> Iterator[Finding]:
    """Yield a finding for each night after the last published one that has staged rows."""
    last = tables.last_published()
    staged: set[Night] = set()
    for table in PUBLISHED:
        staged |= {
            Night(row["ds"]) for row in tables.all_staged(table).select("ds").distinct().collect()
        }
    for night in sorted(night for night in staged if last is None or night > last):
        rows = tables.read(NIGHTS).filter(F.col("ds") == F.lit(night.ds)).collect()
        why = next((f": {_short(row['detail'])}" for row in rows if row["detail"]), "")
        advice = f"Correct its feeds and run it again: embedmill run --config CONFIG --ds {night}."
        yield Finding(f"night {night}", "warn", f"staged, not published{why}", advice)


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
            command = f"embedmill release backfill --config CONFIG {name}"
            advice = f"Continue it: {command}; or retire {name}."
            yield Finding(f"backfill {name}", "warn", "started, not finished", advice)
        else:
            advice = "Run embedmill maintain: it removes the folder."
            yield Finding(f"backfill {name}", "warn", "abandoned", advice)


def _building(tables: Tables) -> set[str]:
    rows = tables.read(RELEASES).groupBy("release").agg(F.max_by("state", "sequence").alias("s"))
    return {row["release"] for row in rows.filter("s = 'building'").collect()}


def _scratch(tables: Tables) -> Iterator[Finding]:
    filesystem, _ = fsspec.url_to_fs(tables.warehouse)
    files = [file for path in left_behind(tables.layout.tmp) for file in filesystem.find(path)]
    if files:
        seen = f"{len(files)} files of a run that was killed, or is running"
        advice = "Run embedmill maintain: it removes those of killed runs."
        yield Finding("scratch", "warn", seen, advice)
