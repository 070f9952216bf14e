"""Locks of a warehouse: one run at a time writes to it, one changes its releases."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

# Seconds that a night waits for a promote or a rollback; these take about ten.
RELEASES_WAIT = 300.0


class WarehouseBusy(RuntimeError):
    """Another run holds the lock."""


@contextmanager
def warehouse_lock(warehouse: str) -> Iterator[None]:
    """Hold the write lock of a warehouse. The system releases it when the process ends.

    The lock file is in the warehouse. For an object store it is in this machine's temporary folder:
    the scheduler must then prevent two machines from writing at the same time.

    Raises:
        WarehouseBusy: another process holds it.
    """
    activity = f"is writing to the warehouse {warehouse!r}"
    with _held(_lock_file(warehouse, ".lock"), activity, wait=0):
        yield


@contextmanager
def releases_lock(warehouse: str, *, wait: float = 0) -> Iterator[None]:
    """Hold the lock for changing states of releases and for applying Feast's definitions.

    It is apart from the write lock, so that a rollback need not wait for a night to end.

    Args:
        wait: seconds to wait for another process.

    Raises:
        WarehouseBusy: another process holds it.
    """
    activity = f"is changing the releases of the warehouse {warehouse!r}"
    with _held(_lock_file(warehouse, ".releases.lock"), activity, wait=wait):
        yield


@contextmanager
def _held(file: Path, activity: str, *, wait: float) -> Iterator[None]:
    lock = FileLock(file, timeout=wait)
    try:
        lock.acquire()
    except Timeout:
        raise WarehouseBusy(
            f"another run {activity} (lock {file}). Wait until it has ended, then run this command "
            "again. Nothing was changed."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _lock_file(warehouse: str, name: str) -> Path:
    if "://" in warehouse:
        digest = sha256(warehouse.encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"embedmill-{digest}{name}"
    folder = Path(warehouse)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
