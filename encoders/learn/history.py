"""History: the items that a user met, oldest first, and which of them at one moment.

Imports numpy alone: stages read histories without loading torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class History:
    """The items that a user met, oldest first.

    Attributes:
        items: rows of the content matrix [T].
        moments: number of the moment of each, from 0, without gaps [T]. The lines of a basket share
            a moment, and their order says nothing.
    """

    items: Rows
    moments: Rows

    @classmethod
    def one_by_one(cls, items: Sequence[int] | Rows) -> "History":
        """Return a history in which every item was met at a moment of its own."""
        rows = np.asarray(items, np.int64)
        return cls(rows, np.arange(len(rows)))

    @classmethod
    def at(cls, items: Sequence[int] | Rows, times: Sequence[int] | Rows) -> "History":
        """Return a history of items met at ``times``, in any unit, in order."""
        moments = np.unique(np.asarray(times, np.int64), return_inverse=True)[1]
        return cls(np.asarray(items, np.int64), moments.astype(np.int64))

    def __len__(self) -> int:
        return len(self.items)

    @property
    def ages(self) -> Rows:
        """How many moments lie between each item and the newest [T]."""
        return self.moments[-1:].repeat(len(self)) - self.moments

    def until(self, size: int) -> "History":
        """Return the oldest ``size`` items."""
        return History(self.items[:size], self.moments[:size])

    def newest(self, size: int) -> "History":
        """Return the newest ``size`` items."""
        start = max(0, len(self) - size)
        moments = self.moments[start:]
        return History(self.items[start:], moments - moments[:1].repeat(len(moments)))


@dataclass(frozen=True)
class Case:
    """A user's items before and after a moment.

    Attributes:
        history: what was met before it; one item at least.
        targets: items met after it.
    """

    history: History
    targets: Rows


def events_of(histories: Sequence[History], n_items: int) -> Rows:
    """Return how many events there are of each item [N]."""
    items = np.concatenate([np.empty(0, np.int64), *(history.items for history in histories)])
    counts: Rows = np.bincount(items, minlength=n_items)
    return counts
