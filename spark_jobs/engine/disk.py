"""Disk space: required before a stage starts, and a full disk named in one message."""

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich import filesize

from spark_jobs.night import Night

GB = 1_000_000_000
# What a disk that is full is called by Python and Java, and by SQLite.
_SAID = ("No space left on device", "database or disk is full")
# Said of a command that is no stage of a night.
NO_ROOM = (
    "no space is left on the disk of the warehouse, or of scratch files. Each table is written in "
    "one commit, so it is as before, or complete. Free some disk (embedmill maintain removes what "
    "nothing that is served needs), then run the same command again: it goes on from there."
)


class DiskFull(OSError):
    """There is too little room to go on."""


def free_bytes(place: str) -> int | None:
    """Return the room left where a folder lies or will lie; None for an object store."""
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
    """Let a stage run if there is room for it, and say so clearly where there was not.

    Args:
        least_free: bytes, on the disk of the warehouse and on that of scratch files.
        writes: bytes that the stage adds to the warehouse.

    Raises:
        DiskFull: there is too little room to start, or none was left on the way.
    """
    places = ((warehouse, least_free + writes), (tempfile.gettempdir(), least_free))
    for place, needed in places:
        free = free_bytes(place)
        if free is not None and free < needed:
            raise DiskFull(
                f"{stage}, night {night}: {place!r} should have {_size(needed)} of free disk, "
                f"but has {_size(free)}. Free some (embedmill maintain removes what nothing "
                "that is served needs), or lower min_free_gb in the config. Nothing was changed."
            )
    try:
        yield
    except Exception as error:
        if not is_disk_full(error):
            raise
        raise DiskFull(
            f"{stage}, night {night}: the disk of {warehouse!r}, or of scratch files in "
            f"{tempfile.gettempdir()!r}, ran full. Each table is written in one commit, so what "
            "readers see of it is as before, or complete. Free some disk (embedmill maintain), "
            "then run the night again."
        ) from error


def _size(n_bytes: float) -> str:
    return filesize.decimal(int(n_bytes))


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is about a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return True
        if any(said in str(error) for said in _SAID):
            return True
        error = error.__cause__ or error.__context__
    return False
