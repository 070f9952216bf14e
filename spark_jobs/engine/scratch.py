"""Scratch: the folder of a warehouse for temporary files, and the removal of abandoned ones.

Stages write to it with the warehouse's lock held. Spark's own scratch (shuffles, spilled and cached
rows) is in ``spark/<session>``: commands that only read have a session too, but no lock. So each
session's folder has a lock of its own, which the process holds for its life and which the operating
system releases when the process ends, however it ends.
"""

import atexit
import shutil
import tempfile
from pathlib import Path

import fsspec
from filelock import FileLock, Timeout

from spark_jobs.engine.disk import GB, free_bytes

_SPARK = "spark"
_LOCK = ".lock"
# A session takes a tenth of this for its jars alone.
_LEAST_FREE = GB


def claim_spark_scratch(scratch: str) -> str | None:
    """Make a folder for the scratch of this process's Spark; it is removed when the process ends.

    Returns:
        its absolute path. None where it would not be a local folder, where its path has a comma
        (Spark would take it for two paths), or where its disk is nearly full: maintenance, which
        frees space, must be able to start.
    """
    free = free_bytes(scratch)
    if free is None or free < _LEAST_FREE or "," in str(Path(scratch).resolve()):
        return None
    parent = Path(scratch).resolve() / _SPARK
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent))
        lock = FileLock(folder / _LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            continue  # maintenance found it before it was locked, and removes it
        # The registration keeps the lock for as long as the process lives.
        atexit.register(_release, folder, lock)
        return str(folder)


def left_behind(scratch: str) -> list[str]:
    """Return the files and folders that no process uses. Call with the warehouse's lock held."""
    filesystem, root = fsspec.url_to_fs(scratch)
    if not filesystem.exists(root):
        return []
    found = sorted(path.rstrip("/") for path in filesystem.ls(root, detail=False))
    ours = [path for path in found if not path.endswith(f"/{_SPARK}")]
    return ours + [str(folder) for folder in _sessions(scratch) if not _is_held(folder)]


def remove_left_behind(scratch: str) -> None:
    """Remove the files and folders that no process uses. Call with the warehouse's lock held."""
    filesystem, _ = fsspec.url_to_fs(scratch)
    sessions = {str(folder) for folder in _sessions(scratch)}
    for path in left_behind(scratch):
        if path in sessions:
            _remove_session(Path(path))
        else:
            filesystem.rm(path, recursive=True)


def _sessions(scratch: str) -> list[Path]:
    if "://" in scratch:
        return []
    return sorted(Path(scratch, _SPARK).resolve().glob("*"))


def _is_held(folder: Path) -> bool:
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    lock.release()
    return False


def _remove_session(folder: Path) -> None:
    """Remove a folder whose process has ended, with its lock held so that no process claims it."""
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
