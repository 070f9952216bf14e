"""Tasks of maintenance: find expired rows and files, and how to remove or rewrite them.

No served row is removed: rows of published nights stay, with all their history, except those of
releases that were retired long ago. Data files are removed only where older versions of a table
alone name them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import fsspec
from pyspark.sql import functions as F

from spark_jobs.config import RetentionConfig
from spark_jobs.contracts import CACHES, ENCODED, TABLES, Table
from spark_jobs.engine.scratch import left_behind, remove_left_behind
from spark_jobs.night import Night
from spark_jobs.operations.maintenance.expired import (
    encoders_read,
    expired_releases,
    expired_versions,
)
from spark_jobs.releases.ledger import all_changes, all_releases
from spark_jobs.warehouse.delta_files import (
    compact,
    delete_rows,
    delta_folders,
    int96_files,
    rewrite,
    small_files,
    vacuum,
    vacuumable,
)
from spark_jobs.warehouse.locks import RELEASES_WAIT, releases_lock
from spark_jobs.warehouse.retention import remove_staged, staged_nights
from spark_jobs.warehouse.tables import Tables

PAGES = ("data_docs", "reports")


@dataclass(frozen=True)
class Task:
    """A removal or rewriting that is due.

    Attributes:
        what: kind of the rows or files, or of the work.
        amount: number of rows or files, with its unit.
    """

    what: str
    where: str
    amount: str
    do: Callable[[], object]


def tasks(
    tables: Tables, retention: RetentionConfig, now: datetime, *, force: bool = False
) -> Iterator[Task]:
    """Yield the tasks that are due, in order; each is planned after those before it have run."""
    # Otherwise a release could be created of encoders that are just being removed.
    with releases_lock(tables.warehouse, wait=RELEASES_WAIT):
        yield from _retired(tables, retention.retired_release_days, now)
    last = tables.last_published()
    if last is not None:
        yield from _staged(tables, Night(last.ds - timedelta(days=retention.staged_nights)))
        yield from _pages(tables, Night(last.ds - timedelta(days=retention.report_days)))
    yield from _left_behind(tables)
    folders = delta_folders(tables.warehouse)
    for folder in folders:
        yield from _old_files(tables, folder, retention.table_history_days * 24, force)
    # Last, because rewriting needs the space that the tasks before it free.
    for folder in folders:
        yield from _int96_files(tables, folder)
        yield from _small_files(tables, folder)


def _retired(tables: Tables, days: int, now: datetime) -> Iterator[Task]:
    """Yield the removal of rows, and then of folders, of encoders of expired releases."""
    releases = all_releases(tables)
    expired = expired_releases(all_changes(tables), now, days)
    versions = expired_versions(releases, expired, encoders_read(tables.warehouse))
    if not versions:
        return
    for table in (*(TABLES[name] for name in ENCODED), *CACHES):
        yield from _rows_of_versions(tables, table, versions)
    for version in versions:
        folder = tables.layout.encoder(version)
        yield from _folder(f"encoders/{version}", folder, "encoder of a retired release")


def _rows_of_versions(tables: Tables, table: Table, versions: Sequence[str]) -> Iterator[Task]:
    condition = F.col("encoder_version").isin(list(versions))
    for path, rows in (
        (tables.path(table), tables.read(table)),
        (tables.staged_path(table), tables.all_staged(table)),
    ):
        count = rows.filter(condition).count()
        if count:
            # Staged rows too: publish compares staged with served ones.
            yield Task(
                "rows of retired releases",
                path[len(tables.warehouse) + 1 :],
                f"{count:,} rows",
                partial(delete_rows, tables.spark, path, condition),
            )


def _staged(tables: Tables, before: Night) -> Iterator[Task]:
    nights = staged_nights(tables, before)
    if nights:
        yield Task(
            "staged rows",
            f"nights before {before}",
            f"{sum(nights.values()):,} rows",
            partial(remove_staged, tables, nights),
        )


def _pages(tables: Tables, before: Night) -> Iterator[Task]:
    """Yield the removal of pages about old nights: a file or folder named by its night."""
    # A backfill has a folder of its own for the pages of its nights.
    backfills = (f"data_docs/{name}" for name, _ in _listed(tables.layout.data_docs))
    for place in (*PAGES, *(name for name in backfills if "/backfill_" in name)):
        for name, path in _listed(f"{tables.warehouse}/{place}"):
            if _is_before(name, before):
                yield from _folder(f"{place}/{name}", path, "page of an old night")


def _is_before(name: str, before: Night) -> bool:
    night = name.split(".")[0]
    return len(night) == len("2026-01-31") and night < str(before)


def _left_behind(tables: Tables) -> Iterator[Task]:
    """Yield the removal of files of killed runs: with the lock held, no run is using them."""
    filesystem, _ = fsspec.url_to_fs(tables.warehouse)
    files = [file for path in left_behind(tables.layout.tmp) for file in filesystem.find(path)]
    if files:
        remove = partial(remove_left_behind, tables.layout.tmp)
        yield Task("scratch of a killed run", "tmp", f"{len(files):,} files", remove)
    building = {release.name for release in all_releases(tables) if release.state == "building"}
    for name, path in _listed(tables.layout.backfills):
        if name not in building:
            yield from _folder(f"backfill/{name}", path, "finished or abandoned backfill")


def _int96_files(tables: Tables, folder: str) -> Iterator[Task]:
    path = f"{tables.warehouse}/{folder}"
    old = int96_files(tables.spark, path)
    if old:
        what = "files with INT96 times rewritten"
        yield Task(what, folder, f"{old:,} files", partial(rewrite, tables.spark, path))


def _small_files(tables: Tables, folder: str) -> Iterator[Task]:
    path = f"{tables.warehouse}/{folder}"
    small = small_files(tables.spark, path)
    if small:
        what = "small files compacted"
        yield Task(what, folder, f"{small:,} files", partial(compact, tables.spark, path))


def _old_files(tables: Tables, folder: str, hours: int, force: bool) -> Iterator[Task]:
    path = f"{tables.warehouse}/{folder}"
    old = vacuumable(tables.spark, path, hours)
    if old:
        remove = partial(vacuum, tables.spark, path, hours, force=force)
        yield Task("files of old versions", folder, f"{old:,} files", remove)


def _folder(where: str, path: str, what: str) -> Iterator[Task]:
    filesystem, root = fsspec.url_to_fs(path)
    files = filesystem.find(root) if filesystem.exists(root) else []
    if files:
        yield Task(what, where, f"{len(files):,} files", partial(filesystem.rm, root, True))


def _listed(path: str) -> list[tuple[str, str]]:
    filesystem, root = fsspec.url_to_fs(path)
    if not filesystem.exists(root):
        return []
    return [
        (p.rstrip("/").rsplit("/", 1)[-1], p) for p in sorted(filesystem.ls(root, detail=False))
    ]
