"""Transitions: which items users meet together, and one after another.

Needs numpy and scipy alone, so a ranking service can use it as it stands.

Shapes: N items, C candidates, T items of a history.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from encoders.learn.history import History, Rows

# Moments between two items, at most; a pair counts by the inverse of their number.
LARGEST_GAP = 5
# Weight of what users met before an item, where what they met after it weighs 1.
BACKWARD = 0.5
# By rule: weight of an item of a history beside one that was met a moment later.
DECAYS: Mapping[str, float] = {"neighbour_blend": 0.5, "history_blend": 0.97}
# Pairs of items that are met this often in all weigh half as much; rarer ones are hardly touched.
_SHRINKAGE = 120.0


@dataclass(frozen=True)
class Transitions:
    """How strongly each item leads to each other.

    Attributes:
        strengths_NN: from the row's item to the column's, float32.
        row_N: what the counts of each row were multiplied by.
        column_N: what those of each column were multiplied by.
    """

    strengths_NN: sp.csr_array
    row_N: NDArray[np.float32]
    column_N: NDArray[np.float32]


def transitions(histories: Sequence[History], n_items: int) -> Transitions:
    """Return how strongly each item leads to each other, from the row's to the column's.

    Items of one moment, those of later moments by the inverse of the gap, and half as much those of
    earlier ones. Each moment spreads a weight of 1 over its items, so that a basket of a hundred
    lines does not outvote others; and what a user meets for the k-th time weighs 1 / k, so that
    neither a habit nor a bot does. What everybody meets says little: a count is divided by the root
    of both items' totals, as in cosine similarity, but shrunk, for the totals of rare items are
    noise. The diagonal holds items that are met again at a later moment, each time in full.

    ``docs/results/2026-12-01-learn-quality.md`` has the choice of constants.
    """
    moments, users = _moments(histories, n_items)
    weights = _weights(moments, users)
    share = sp.diags_array((1 / np.maximum(moments.sum(axis=1), 1)).astype(np.float32))
    shares, shares_again = sp.csr_array(share @ weights), sp.csr_array(share @ moments)
    together = weights.T @ shares
    then = sp.csr_array((n_items, n_items), dtype=np.float32)
    again_N = np.zeros(n_items, np.float32)
    for gap in range(1, min(LARGEST_GAP, len(users) - 1) + 1):
        first = np.flatnonzero(users[:-gap] == users[gap:])
        then = then + (weights[first].T @ shares[first + gap]) * np.float32(1 / gap)
        again_N += moments[first].multiply(shares_again[first + gap]).sum(axis=0) / np.float32(gap)
    others = sp.csr_array(together + then + BACKWARD * then.T)
    diagonal = sp.diags_array((1 + BACKWARD) * again_N - others.diagonal())
    return _shrunk(sp.csr_array(others + diagonal))


def transition_scores(
    strengths_NN: sp.csr_array, history: History, candidates_C: Rows
) -> NDArray[np.float32]:
    """Return how strongly a history leads to each candidate, by each of ``DECAYS`` [C, 2].

    They are the scores of the rules without their text, for rankers: one function for training and
    for serving. A candidate of which nothing is known, and every candidate of a user without
    history, has zeros.

    Args:
        strengths_NN: of ``transitions``.
        history: rows of the catalogue, oldest first; T may be 0.
        candidates_C: rows of the catalogue.
    """
    strengths_TC = strengths_NN[history.items][:, candidates_C]
    fading_2T = np.array(list(DECAYS.values()))[:, None] ** history.ages
    scores: NDArray[np.float32] = (strengths_TC.T @ fading_2T.T).astype(np.float32)
    return scores


def _weights(
    moments: sp.csr_array, users: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> sp.csr_array:
    """Return 1 / k for an item that its user meets for the k-th time [M, N]."""
    rows = np.repeat(np.arange(moments.shape[0]), np.diff(moments.indptr))
    times = occurrence(users[rows] * moments.shape[1] + moments.indices)
    weights = (1 / times).astype(np.float32)
    return sp.csr_array((weights, moments.indices, moments.indptr), shape=moments.shape)


def occurrence(values_T: Rows) -> Rows:
    """Return how many times each value was there until its place, from 1 [T]."""
    order = np.argsort(values_T, kind="stable")
    in_order = values_T[order]
    is_first = np.append(True, in_order[1:] != in_order[:-1])[: len(in_order)]
    starts = np.maximum.accumulate(np.where(is_first, np.arange(len(in_order)), 0))
    times = np.empty(len(in_order), np.int64)
    times[order] = np.arange(len(in_order)) - starts + 1
    return times


def _moments(
    histories: Sequence[History], n_items: int
) -> tuple[sp.csr_array, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Return the items of each moment [M, N], 0 or 1, and the user of each moment [M]."""
    histories = [history for history in histories if len(history)]
    counts = np.array([history.moments[-1] + 1 for history in histories], np.int64)
    starts = np.cumsum(counts) - counts
    nothing = np.empty(0, np.int64)
    pairs = zip(histories, starts, strict=True)
    rows = np.concatenate([nothing, *(history.moments + start for history, start in pairs)])
    items = np.concatenate([nothing, *(history.items for history in histories)])
    ones = np.ones(len(rows), np.float32)
    met = sp.csr_array((ones, (rows, items)), shape=(int(counts.sum()), n_items))
    met.sum_duplicates()
    met.data[:] = 1
    return met, np.repeat(np.arange(len(histories)), counts)


def _shrunk(counts_NN: sp.csr_array) -> Transitions:
    row_N, column_N = (
        (1 / np.sqrt(1 + counts_NN.sum(axis=axis) / _SHRINKAGE)).astype(np.float32)
        for axis in (1, 0)
    )
    strengths_NN = sp.diags_array(row_N) @ counts_NN @ sp.diags_array(column_N)
    return Transitions(sp.csr_array(strengths_NN), row_N, column_N)
