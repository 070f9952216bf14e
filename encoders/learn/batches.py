"""Batches of training: users' sequences, each cut into a history and a target.

All that is random is drawn from seed and epoch: a resumed run sees the batches of an uninterrupted
one.

Shapes: B users, T positions, L known items.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

# Items of one user, oldest first, as rows of the content matrix.
History = NDArray[np.int64]

# Users are sorted by length within so many batches: little padding, and batches that still differ.
_SORTED_BATCHES = 8


@dataclass(frozen=True)
class Window:
    """What of a sequence training reads.

    Attributes:
        max_history: newest events before the cut.
        max_target: first events after it.
    """

    max_history: int
    max_target: int


@dataclass(frozen=True)
class CutBatch:
    """Histories and targets of some users, padded on the right.

    Attributes:
        history_BT: items; 0 where padded.
        history_length_B: at least 1.
        target_BT: items; 0 where padded.
        target_length_B: at least 1.
        known_BL: items of both, -1 where padded.
    """

    history_BT: torch.Tensor
    history_length_B: torch.Tensor
    target_BT: torch.Tensor
    target_length_B: torch.Tensor
    known_BL: torch.Tensor


def drawn_cuts(sequences: Sequence[History], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw for each sequence how many events lie before its cut; both sides get one at least."""
    lengths = np.array([len(sequence) for sequence in sequences])
    return rng.integers(1, lengths)


def cut_batches(
    sequences: Sequence[History], cuts: NDArray[np.int64], window: Window, *, batch_size: int
) -> Iterator[CutBatch]:
    """Yield all sequences in batches, in their order, each cut in two."""
    for start in range(0, len(sequences), batch_size):
        rows = range(start, min(start + batch_size, len(sequences)))
        yield _cut_batch([sequences[row] for row in rows], cuts[start : start + batch_size], window)


def cut_in_two(
    sequences: Sequence[History], cuts: NDArray[np.int64], *, max_target: int
) -> Iterator[tuple[History, History]]:
    """Yield what lies before each sequence's cut, and up to ``max_target`` events after it."""
    for sequence, cut in zip(sequences, cuts, strict=True):
        yield sequence[:cut], sequence[cut : cut + max_target]


def shuffled_batches(
    sequences: Sequence[History], window: Window, *, batch_size: int, seed: tuple[int, int]
) -> Iterator[CutBatch]:
    """Yield all sequences once, freshly cut and shuffled, in batches of about the same length.

    Args:
        seed: of the run, and the epoch.
    """
    rng = np.random.default_rng(seed)
    cuts = drawn_cuts(sequences, rng)
    order = rng.permutation(len(sequences))
    step = batch_size * _SORTED_BATCHES
    spans = [order[start : start + step] for start in range(0, len(order), step)]
    spans = [span[np.argsort(cuts[span], kind="stable")] for span in spans]
    batches = [
        span[start : start + batch_size]
        for span in spans
        for start in range(0, len(span), batch_size)
    ]
    for number in rng.permutation(len(batches)):
        rows = batches[number]
        # A lone user has no negatives to learn from.
        if len(rows) > 1:
            yield _cut_batch([sequences[row] for row in rows], cuts[rows], window)


def _cut_batch(sequences: Sequence[History], cuts: NDArray[np.int64], window: Window) -> CutBatch:
    pairs = list(zip(sequences, cuts, strict=True))
    histories = [sequence[max(0, cut - window.max_history) : cut] for sequence, cut in pairs]
    targets = [sequence[cut : cut + window.max_target] for sequence, cut in pairs]
    known = [np.concatenate(both) for both in zip(histories, targets, strict=True)]
    return CutBatch(
        _padded(histories, 0),
        _lengths(histories),
        _padded(targets, 0),
        _lengths(targets),
        _padded(known, -1),
    )


def _padded(sequences: Sequence[History], value: int) -> torch.Tensor:
    tensors = [torch.from_numpy(sequence) for sequence in sequences]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)


def _lengths(sequences: Sequence[History]) -> torch.Tensor:
    return torch.tensor([len(sequence) for sequence in sequences])
