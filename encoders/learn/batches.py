"""Batches of training: histories cut at a moment, and the items that were met at the next one.

All that is random is drawn from seed and epoch: a resumed run sees the batches of an uninterrupted
one.

Shapes: B cut histories, P pairs of one and an item that was met next, C candidates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.learn.history import History, Rows

# Items of one moment that a step learns from, at most.
_MAX_NEXT = 32


@dataclass(frozen=True)
class Batch:
    """Cut histories, and what was met next.

    Attributes:
        histories: of one item at least [B].
        known: all items that the user of each ever met, in training [B].
        target_P: items met next.
        of_P: the history of each, rising.
        is_new_P: whether it is not in that history.
    """

    histories: Sequence[History]
    known: Sequence[Rows]
    target_P: Rows
    of_P: Rows
    is_new_P: NDArray[np.bool_]

    def share(self, number: int, shares: int) -> "Batch":
        """Return one of ``shares`` equal parts of the histories, which may be empty."""
        start, stop = (len(self.histories) * n // shares for n in (number, number + 1))
        first, last = np.searchsorted(self.of_P, [start, stop])
        return Batch(
            self.histories[start:stop],
            self.known[start:stop],
            self.target_P[first:last],
            self.of_P[first:last] - start,
            self.is_new_P[first:last],
        )


def shuffled_batches(
    histories: Sequence[History],
    *,
    batch_size: int,
    cuts_per_user: int,
    max_history: int,
    seed: tuple[int, int],
) -> Iterator[Batch]:
    """Yield every user's history, cut at up to ``cuts_per_user`` moments, in shuffled batches.

    Args:
        seed: of the run, and the epoch.
    """
    rng = np.random.default_rng(seed)
    known = [np.unique(history.items) for history in histories]
    cuts = [
        (user, cut)
        for user, history in enumerate(histories)
        for cut in _drawn_cuts(history, cuts_per_user, rng)
    ]
    order = rng.permutation(len(cuts))
    for start in range(0, len(order), batch_size):
        drawn = [cuts[row] for row in order[start : start + batch_size]]
        seen, met = _split(histories, drawn, max_history)
        yield _batch(seen, met, [known[user] for user, _ in drawn], rng)


def n_cuts(histories: Sequence[History], cuts_per_user: int) -> int:
    """Return how many cut histories an epoch learns from."""
    return sum(min(cuts_per_user, int(h.moments[-1])) for h in histories if len(h))


def _drawn_cuts(history: History, count: int, rng: np.random.Generator) -> list[int]:
    """Draw moments that have one before them."""
    last = int(history.moments[-1]) if len(history) else 0
    return sorted((rng.permutation(last)[:count] + 1).tolist())


def _batch(
    seen: Sequence[History], met: Sequence[Rows], known: Sequence[Rows], rng: np.random.Generator
) -> Batch:
    width = 1 + max(int(items.max()) for items in known)
    # One number a pair of a cut history and an item: sets of all histories are taken at once.
    of_P, target_P = np.divmod(np.unique(_pairs(met, width)), width)
    keep = _drawn_targets(np.bincount(of_P, minlength=len(met)), rng)
    of_P, target_P = of_P[keep], target_P[keep]
    is_new_P = ~np.isin(of_P * width + target_P, _pairs([h.items for h in seen], width))
    return Batch(seen, known, target_P, of_P, is_new_P)


def _split(
    histories: Sequence[History], cuts: Sequence[tuple[int, int]], max_history: int
) -> tuple[list[History], list[Rows]]:
    """Return what lies before each cut, and what was met at it."""
    seen, met = [], []
    for user, cut in cuts:
        history = histories[user]
        start, stop = np.searchsorted(history.moments, [cut, cut + 1])
        seen.append(history.until(int(start)).newest(max_history))
        met.append(history.items[start:stop])
    return seen, met


def _pairs(items: Sequence[Rows], width: int) -> Rows:
    of = np.repeat(np.arange(len(items)), [len(its) for its in items])
    pairs: Rows = of * width + np.concatenate(items)
    return pairs


def _drawn_targets(sizes: Rows, rng: np.random.Generator) -> Rows:
    """Return the places of the targets that a step learns from, up to ``_MAX_NEXT`` a history."""
    starts = np.cumsum(sizes) - sizes
    keep = np.ones(int(sizes.sum()), bool)
    for row in np.flatnonzero(sizes > _MAX_NEXT).tolist():
        left_out = rng.permutation(int(sizes[row]))[_MAX_NEXT:]
        keep[starts[row] + left_out] = False
    return np.flatnonzero(keep)


def drawn_candidates(
    target_P: Rows, items_M: Rows, count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the targets and ``count`` items drawn evenly from some, each once, rising [C]."""
    drawn: NDArray[np.int64] = np.unique(np.concatenate([target_P, rng.choice(items_M, count)]))
    return drawn
