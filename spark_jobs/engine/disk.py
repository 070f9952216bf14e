"""Disk space: the check before a stage starts, and one message where a disk is full."""

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich import filesize

from spark_jobs.engine.worker_errors import text_of
from spark_jobs.night import Night

GB = 1_000_000_000
# How errors of Python and Java, and of SQLite, name a full disk.
_FULL_DISK_TEXTS = ("No space left on device", "database or disk is full")
# Message of a command that is not a stage of a night.
NO_ROOM = (
    "the disk of the warehouse or of the temporary folder is full. Each table is written in one "
    "commit, so every table is either as before or complete. Free some disk space (embedmill "
    "maintain removes files that no served release needs), then run the same command again: it "
    "continues where it stopped."
)


class DiskFull(OSError):
    """The disk has less free space than the work needs."""


def free_bytes(place: str) -> int | None:
    """Return the free space on the disk of a folder, which need not exist; None for a URI."""
    if "://" in place:
        return None
    folder = Path(place).resolve()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


@contextmanager
def enough_disk(
    warehouse: str, least_free: float, night: Night, stage: str, *, writes: int = 0
) -> Iterator[None]:
    """Run a stage if its disks have enough free space; name the disk where they run full.

    Args:
        least_free: bytes, on the disk of the warehouse and on that of the temporary folder.
        writes: bytes that the stage adds to the warehouse.

    Raises:
        DiskFull: there is too little free space to start, or it ran out during the stage.
    """
    places = ((warehouse, least_free + writes), (tempfile.gettempdir(), least_free))
    for place, needed in places:
        free = free_bytes(place)
        if free is not None and free < needed:
            raise DiskFull(
                f"{stage}, night {night}: {place!r} should have {_size(needed)} of free disk "
                f"space, but has {_size(free)}. Free some (embedmill maintain removes files that "
                "no served release needs), or lower min_free_gb in the config. Nothing was changed."
            )
    try:
        yield
    except Exception as error:
        if not is_disk_full(error):
            raise
        raise DiskFull(
            f"{stage}, night {night}: the disk of {warehouse!r}, or of the temporary folder "
            f"{tempfile.gettempdir()!r}, ran full. Each table is written in one commit, so readers "
            "see every table either as before or complete. Free some disk space (embedmill "
            "maintain), then run the night again."
        ) from error


def _size(n_bytes: float) -> str:
    return filesize.decimal(int(n_bytes))


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether an error, or one of its causes, is about a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return True
        if any(text in text_of(error) for text in _FULL_DISK_TEXTS):
            return True
        error = error.__cause__ or error.__context__
    return False
