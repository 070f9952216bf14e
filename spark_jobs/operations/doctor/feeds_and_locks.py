"""Checks of a night's feeds, and of the locks of its warehouse."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from spark_jobs.config import Config
from spark_jobs.ingest_config import Source
from spark_jobs.operations.doctor.findings import Finding

_LOCKS = {".lock": "lock, warehouse", ".releases.lock": "lock, releases"}


def feeds(config: Config, ds: str | None) -> Iterator[Finding]:
    """Check that the feeds of a night exist or, without a night, the folders for them."""
    if not config.sources:
        yield Finding("feeds", "warn", "none is configured", "Describe your feeds in [[sources]].")
    for source in config.sources:
        yield _feed(source, ds)


def locks(config: Config) -> Iterator[Finding]:
    """Check whether a process holds the warehouse, or its releases."""
    if "://" in config.warehouse:
        return
    for name, what in _LOCKS.items():
        file = Path(config.warehouse) / name
        if not file.exists() or _is_free(file):
            yield Finding(what, "ok", "free")
        else:
            holder = lock_holder(file)
            who = f"held by process {holder}" if holder else "held by another process"
            advice = "Wait until it has ended: its lock ends with it, even if it is killed."
            yield Finding(what, "warn", who, advice)


def lock_holder(file: Path, table: Path = Path("/proc/locks")) -> int | None:
    """Return the process that holds a lock on a file; None where the system does not list it."""
    if not table.is_file():
        return None
    inode = file.stat().st_ino
    for line in table.read_text().splitlines():
        found = re.search(r"WRITE\s+(\d+)\s+\S+:(\d+)\s", line)
        if found and int(found.group(2)) == inode:
            return int(found.group(1))
    return None


def _feed(source: Source, ds: str | None) -> Finding:
    what = f"feed {source.name}"
    if "://" in source.path:
        return Finding(what, "ok", f"{source.path} is not a local file, not checked")
    path = source.path.replace("{ds}", ds) if ds else source.path.split("{ds}")[0]
    path = os.path.abspath(path or ".")
    if os.path.exists(path):
        return Finding(what, "ok", path)
    if source.optional:
        return Finding(what, "ok", f"{path} does not exist; the feed is optional")
    advice = "Deliver the feed, or correct its path in [[sources]]."
    return Finding(what, "bad", f"{path} does not exist", advice)


def _is_free(file: Path) -> bool:
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    lock.release()
    return True
