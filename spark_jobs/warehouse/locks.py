"""Locks: one run at a time writes to a warehouse."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

# Seconds that a night waits for a promote or a rollback, which take some ten.
RELEASES_WAIT = 300.0


class WarehouseBusy(RuntimeError):
    """Another run is writing to the warehouse."""


@contextmanager
def warehouse_lock(warehouse: str) -> Iterator[None]:
    """Hold the warehouse for this process; a run that was killed leaves no lock behind.

    The lock lies in the warehouse, or, where that is no local folder, in this machine's temporary
    folder: there the scheduler has to see to it that two machines do not run one night.

    Raises:
        WarehouseBusy: another process holds it.
    """
    with _held(
        _lock_file(warehouse, ".lock"), f"is writing to the warehouse {warehouse!r}", wait=0
    ):
        yield


@contextmanager
def releases_lock(warehouse: str, *, wait: float = 0) -> Iterator[None]:
    """Hold the releases of a warehouse: who changes their states, or applies Feast's definitions.

    A lock of its own, so that a rollback does not wait for a night to end.

    Args:
        wait: seconds to wait for whoever holds it.

    Raises:
        WarehouseBusy: another process holds it.
    """
    what = f"is changing the releases of the warehouse {warehouse!r}"
    with _held(_lock_file(warehouse, ".releases.lock"), what, wait=wait):
        yield


@contextmanager
def _held(file: Path, what: str, *, wait: float) -> Iterator[None]:
    lock = FileLock(file, timeout=wait)
    try:
        lock.acquire()
    except Timeout:
        raise WarehouseBusy(
            f"another run {what} (lock {file}). Wait until it has ended, then run this again. "
            "Nothing was changed."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _lock_file(warehouse: str, name: str) -> Path:
    if "://" in warehouse:
        of_warehouse = sha256(warehouse.encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"embedmill-{of_warehouse}{name}"
    folder = Path(warehouse)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
