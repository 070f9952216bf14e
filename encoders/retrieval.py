"""Retrieval metrics: rank the candidates of each query, and score the ranks of the relevant ones.

Candidates are in order of falling score; of equal scores the earlier candidate comes first. A
candidate that is masked, or whose score is NaN or minus infinity, cannot be found: its rank is
infinite. Metrics are of each query, so that they can be averaged and resampled; scikit-learn's
give one mean, sort every row in full and average over ties.

Shapes: Q queries, B queries ranked together, C candidates, R relevant candidates of one query or
of all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Values = NDArray[np.float64]
# Queries -> their scores [B, C].
Scorer = Callable[[slice], NDArray[np.floating]]

# Scores of so many queries are in memory together: 12 MB for 12,000 candidates in float32.
_QUERIES_AT_ONCE = 256


@dataclass(frozen=True)
class Ranks:
    """Ranks of the relevant candidates of each query.

    A metric of a query without a relevant candidate is NaN.

    Attributes:
        rank_R: from 1, rising within a query; infinite where it cannot be found.
        query_R: the query of each, rising.
        place_R: the place of each among those of its query, from 0.
        relevant_Q: how many are of each query.
    """

    rank_R: Values
    query_R: Indices
    place_R: Indices
    relevant_Q: Indices

    def recall(self, k: int) -> Values:
        """Return the share of the relevant candidates among the first k, of at most k [Q]."""
        return _ratio(self._sum(self.rank_R <= k), np.minimum(self.relevant_Q, k))

    def hit(self, k: int) -> Values:
        """Return 1 where a relevant candidate is among the first k, else 0 [Q]."""
        return _ratio(self._sum((self.place_R == 0) & (self.rank_R <= k)), self.relevant_Q > 0)

    def reciprocal_rank(self) -> Values:
        """Return 1 by the rank of the first relevant candidate [Q]; the mean is the MRR."""
        return _ratio(self._sum((self.place_R == 0) / self.rank_R), self.relevant_Q > 0)

    def average_precision(self) -> Values:
        """Return the mean, over relevant candidates, of the precision at its rank [Q]: the mAP."""
        return _ratio(self._sum((self.place_R + 1) / self.rank_R), self.relevant_Q)

    def ndcg(self, k: int) -> Values:
        """Return the normalised discounted cumulative gain of the first k, gains 0 and 1 [Q]."""
        gain_R = (self.rank_R <= k) / np.log2(self.rank_R + 1)
        ideal_R = (self.place_R < k) / np.log2(self.place_R + 2)
        return _ratio(self._sum(gain_R), self._sum(ideal_R))

    def _sum(self, values_R: NDArray[Any]) -> Values:
        """Add values up by query [Q]."""
        sum_Q: Values = np.bincount(self.query_R, values_R, len(self.relevant_Q)).astype(float)
        return sum_Q


def rank_relevant(
    score: Scorer, relevant: Sequence[Indices], *, masked: Sequence[Indices] | None = None
) -> Ranks:
    """Rank the relevant candidates of each query among all candidates.

    Args:
        score: called with ``_QUERIES_AT_ONCE`` queries at a time, in order.
        relevant: candidates of each query, each once.
        masked: candidates that a query cannot find.
    """
    ranks: list[Values] = []
    for start in range(0, len(relevant), _QUERIES_AT_ONCE):
        queries = slice(start, min(start + _QUERIES_AT_ONCE, len(relevant)))
        scores_BC = np.array(score(queries))
        for scores_C, masked_R in zip(scores_BC, masked[queries] if masked else (), strict=False):
            scores_C[masked_R] = -np.inf
        scores_BC[np.isnan(scores_BC)] = -np.inf
        for scores_C, columns_R in zip(scores_BC, relevant[queries], strict=True):
            ranks.append(_ranks(scores_C, columns_R))
    relevant_Q = np.array([len(columns_R) for columns_R in relevant], np.int64)
    query_R = np.repeat(np.arange(len(relevant)), relevant_Q)
    place_R = np.arange(len(query_R)) - (np.cumsum(relevant_Q) - relevant_Q)[query_R]
    return Ranks(np.concatenate([*ranks, np.empty(0)]), query_R, place_R, relevant_Q)


def relevant_by_label(query_label_Q: Indices, candidate_label_C: Indices) -> list[Indices]:
    """Return for each query the candidates that have its label."""
    order_C = np.argsort(candidate_label_C, kind="stable")
    label_C = candidate_label_C[order_C]
    start_Q = np.searchsorted(label_C, query_label_Q, side="left")
    stop_Q = np.searchsorted(label_C, query_label_Q, side="right")
    return [order_C[start:stop] for start, stop in zip(start_Q, stop_Q, strict=True)]


def _ranks(scores_C: NDArray[np.floating], columns_R: Indices) -> Values:
    """Return the ranks of some candidates of one query, rising."""
    score_R, ascending_C = scores_C[columns_R], np.sort(scores_C)
    not_better_R = np.searchsorted(ascending_C, score_R, side="right")
    rank_R: Values = (len(scores_C) - not_better_R + 1).astype(float)
    is_tied_R = not_better_R - np.searchsorted(ascending_C, score_R, side="left") > 1
    for row in np.flatnonzero(is_tied_R):
        rank_R[row] += np.count_nonzero(scores_C[: columns_R[row]] == score_R[row])
    rank_R[np.isneginf(score_R)] = np.inf
    rank_R.sort()
    return rank_R


def _ratio(part_Q: NDArray[Any], whole_Q: NDArray[Any]) -> Values:
    """Return one by the other, NaN where there is no relevant candidate."""
    nothing = np.full(len(whole_Q), np.nan)
    ratio_Q: Values = np.divide(part_Q, whole_Q, out=nothing, where=whole_Q > 0)
    return ratio_Q
