"""Scratch: a warehouse's own folder for what a run writes and removes again.

Stages write to it with the warehouse's lock held. Spark's scratch (shuffles, spilled and cached
rows) is apart, ``tmp/spark/<session>``: commands that only read have a session too, and no lock. So
each session's folder has a lock of its own, which the process holds for its life and which the
system lets go of when the process ends, however it ends.
"""

import atexit
import shutil
import tempfile
from pathlib import Path

import fsspec
from filelock import FileLock, Timeout

from spark_jobs.disk import GB, free_bytes

_SPARK = "spark"
_LOCK = ".lock"
# Of which a session takes a tenth for its jars alone.
_LEAST_FREE = GB


def scratch_path(warehouse: str) -> str:
    """Return where scratch lies: below the warehouse."""
    return f"{warehouse}/tmp"  # noqa: S108 - not the machine's


def claim_spark_scratch(warehouse: str) -> str | None:
    """Make a folder for the scratch of this process's Spark; it is removed when the process ends.

    Returns:
        its absolute path; None where the warehouse is no local folder, where its path has a comma,
        at which Spark would cut it in two, or where its disk is nearly full: maintenance, which
        makes room, has to start.
    """
    free = free_bytes(warehouse)
    if free is None or free < _LEAST_FREE or "," in str(Path(warehouse).resolve()):
        return None
    parent = Path(scratch_path(warehouse)).resolve() / _SPARK
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent))
        lock = FileLock(folder / _LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            continue  # maintenance found it before it was locked, and removes it
        # Holds the lock for as long as the process lives.
        atexit.register(_release, folder, lock)
        return str(folder)


def left_behind(warehouse: str) -> list[str]:
    """Return what nobody uses in a warehouse's scratch. To be called with its lock held."""
    filesystem, root = fsspec.url_to_fs(scratch_path(warehouse))
    if not filesystem.exists(root):
        return []
    found = sorted(path.rstrip("/") for path in filesystem.ls(root, detail=False))
    ours = [path for path in found if not path.endswith(f"/{_SPARK}")]
    return ours + [str(folder) for folder in _sessions(warehouse) if not _is_held(folder)]


def remove_left_behind(warehouse: str) -> None:
    """Remove what nobody uses in a warehouse's scratch. To be called with its lock held."""
    filesystem, _ = fsspec.url_to_fs(warehouse)
    sessions = {str(folder) for folder in _sessions(warehouse)}
    for path in left_behind(warehouse):
        if path in sessions:
            _remove_session(Path(path))
        else:
            filesystem.rm(path, recursive=True)


def _sessions(warehouse: str) -> list[Path]:
    if "://" in warehouse:
        return []
    return sorted(Path(scratch_path(warehouse), _SPARK).resolve().glob("*"))


def _is_held(folder: Path) -> bool:
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    lock.release()
    return False


def _remove_session(folder: Path) -> None:
    """Remove a folder whose process is gone, with its lock held: a new process would find it."""
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return
    shutil.rmtree(folder)
    lock.release()


def _release(folder: Path, lock: FileLock) -> None:
    # Java removes its own files too, at the same time.
    shutil.rmtree(folder, ignore_errors=True)
    lock.release()
