"""Locks: one run at a time writes to a warehouse."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout


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
    lock = FileLock(_lock_file(warehouse), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise WarehouseBusy(
            f"another run is writing to the warehouse {warehouse!r} (lock {lock.lock_file}). "
            "Wait until it has ended, then run this again."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _lock_file(warehouse: str) -> Path:
    if "://" in warehouse:
        name = sha256(warehouse.encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"embedmill-{name}.lock"
    folder = Path(warehouse)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / ".lock"
