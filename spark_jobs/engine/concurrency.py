"""Concurrency in the driver: independent calls run side by side, garbage collection paused."""

import gc
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

# A small query is mostly planning and commits, on one core of the driver.
MAX_CONCURRENT = 4


def run_concurrently(calls: Iterable[Callable[[], T]]) -> list[T]:
    """Run independent calls, ``MAX_CONCURRENT`` at a time; return their results in order.

    All calls have ended when this returns or raises.

    Raises:
        Exception: that of the first call, in the order given, that failed.
    """
    with ThreadPoolExecutor(MAX_CONCURRENT) as pool:
        futures = [pool.submit(call) for call in calls]
    return [future.result() for future in futures]


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause Python's cyclic garbage collector; usable as a decorator.

    Records, sets and protos by the million hold no cycles, and the collector walks over all of them
    again and again: a third of the time that it took to resolve 100,000 pages.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
