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
    cuts = [
        (user, cut)
        for user, history in enumerate(histories)
        for cut in _drawn_cuts(history, cuts_per_user, rng)
    ]
    order = rng.permutation(len(cuts))
    for start in range(0, len(order), batch_size):
        yield _batch(
            histories, [cuts[row] for row in order[start : start + batch_size]], max_history, rng
        )


def n_cuts(histories: Sequence[History], cuts_per_user: int) -> int:
    """Return how many cut histories an epoch learns from."""
    return sum(min(cuts_per_user, int(h.moments[-1])) for h in histories if len(h))


def _drawn_cuts(history: History, count: int, rng: np.random.Generator) -> list[int]:
    """Draw moments that have one before them."""
    last = int(history.moments[-1]) if len(history) else 0
    return sorted((rng.permutation(last)[:count] + 1).tolist())


def _batch(
    histories: Sequence[History],
    cuts: Sequence[tuple[int, int]],
    max_history: int,
    rng: np.random.Generator,
) -> Batch:
    seen, targets, is_new = [], [], []
    for user, cut in cuts:
        history = histories[user]
        start, stop = np.searchsorted(history.moments, [cut, cut + 1])
        seen.append(history.until(int(start)).newest(max_history))
        met = np.unique(history.items[start:stop])
        targets.append(met if len(met) <= _MAX_NEXT else rng.permutation(met)[:_MAX_NEXT])
        is_new.append(~np.isin(targets[-1], seen[-1].items))
    of_P = np.repeat(np.arange(len(cuts)), [len(met) for met in targets])
    known = [np.unique(histories[user].items) for user, _ in cuts]
    return Batch(seen, known, np.concatenate(targets), of_P, np.concatenate(is_new))


def drawn_candidates(
    target_P: Rows, n_items: int, count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the targets and ``count`` items drawn evenly, each once, rising [C]."""
    drawn: NDArray[np.int64] = np.unique(
        np.concatenate([target_P, rng.integers(0, n_items, count)])
    )
    return drawn
