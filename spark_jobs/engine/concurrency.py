"""Work that does not wait for each other, done at once."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# A small query is mostly planning and commits, on one core of the driver.
AT_ONCE = 4


def at_once(works: Iterable[Callable[[], T]]) -> list[T]:
    """Call all of them, several at a time; return their results in order.

    All of them end before this returns.

    Raises:
        Exception: what the first of them raised that did not end well.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        calls = [pool.submit(work) for work in works]
    return [call.result() for call in calls]
