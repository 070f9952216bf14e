"""Top lists: the first k items for each user, and the metrics that are read off them.

A ranker scores a catalogue once a user; recall, nDCG and coverage at k, of all targets or of some,
with seen items ranked last or without, need its first items alone. Of equal scores the earlier item
comes first; items at minus infinity or NaN are in no list.

Shapes: U users, N items, B users ranked together.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encoders.learn.history import Case, Rows
from encoders.learn.rules import Ranker, Scores

# Items of each user, best first; -1 where fewer than k can be found [U, k].
TopLists = NDArray[np.int64]
Values = NDArray[np.float64]

# Scores of so many users are in memory together: 12 MB for 12,000 items.
_USERS_AT_ONCE = 256
# How strongly what users come to see follows popularity (Saito et al., WSDM 2020, section 6).
_EXPOSURE = 0.5


def top_lists(ranker: Ranker, cases: Sequence[Case], *, k: int = 10) -> tuple[TopLists, TopLists]:
    """Return the lists of all users with seen items left out, and those with seen items."""
    masked, unmasked = (np.full((len(cases), k), -1, np.int64) for _ in range(2))
    for start in range(0, len(cases), _USERS_AT_ONCE):
        histories = [case.history for case in cases[start : start + _USERS_AT_ONCE]]
        scores_BN = np.array(ranker(histories), np.float32)
        scores_BN[np.isnan(scores_BN)] = -np.inf
        for row, (history, scores_N) in enumerate(zip(histories, scores_BN, strict=True), start):
            _fill(unmasked[row], scores_N)
            scores_N[history.items] = -np.inf
            _fill(masked[row], scores_N)
    return masked, unmasked


def recall(lists_Uk: TopLists, targets: Sequence[Rows]) -> Values:
    """Return the share of each user's targets in the list, of at most k [U]; NaN without one.

    Args:
        targets: different items of each user.
    """
    return _ratio(_hits(lists_Uk, targets).sum(axis=1), _ideal_hits(lists_Uk, targets).sum(axis=1))


def ndcg(lists_Uk: TopLists, targets: Sequence[Rows]) -> Values:
    """Return the normalised discounted cumulative gain of each list [U]; NaN without a target."""
    discount_k = _discounts(lists_Uk.shape[1])
    return _ratio(
        _hits(lists_Uk, targets) @ discount_k, _ideal_hits(lists_Uk, targets) @ discount_k
    )


def debiased_ndcg(
    lists_Uk: TopLists, targets: Sequence[Rows], events_N: NDArray[np.int64]
) -> float:
    """Return nDCG in which a target weighs by the inverse of its chance to be seen; NaN of none.

    Held-out events are of what users came to see, and popular items are seen more: a ranking by
    popularity looks better than it is. A target weighs ``(events + 1) ** -0.5``, the inverse
    propensity of Saito et al. (WSDM 2020, section 6), and the gains of all users are divided by
    the most that they could be (self-normalised: Swaminathan and Joachims, NeurIPS 2015; for
    recommenders Yang et al., RecSys 2018). With one target a user and equal weights it is the mean
    nDCG.

    Args:
        events_N: how many events there were of each item before the cut.
    """
    weight_N = (events_N + 1.0) ** -_EXPOSURE
    discount_k = _discounts(lists_Uk.shape[1])
    gained_Uk = _hits(lists_Uk, targets) * weight_N[lists_Uk]
    most = 0.0
    for rows in targets:
        best = np.sort(weight_N[rows])[::-1][: len(discount_k)]
        most += float(best @ discount_k[: len(best)])
    return float((gained_Uk @ discount_k).sum() / most) if most else float("nan")


def coverage(lists_Uk: TopLists, n_items: int) -> float:
    """Return the share of the catalogue that is in somebody's list."""
    return len(np.unique(lists_Uk[lists_Uk >= 0])) / n_items


def _fill(list_k: NDArray[np.int64], scores_N: Scores) -> None:
    """Write the first items into a list."""
    k = min(len(list_k), len(scores_N))
    least = np.partition(scores_N, len(scores_N) - k)[len(scores_N) - k]
    found = np.flatnonzero((scores_N >= least) & (scores_N > -np.inf))
    best = found[np.argsort(-scores_N[found], kind="stable")][:k]
    list_k[: len(best)] = best


def _hits(lists_Uk: TopLists, targets: Sequence[Rows]) -> NDArray[np.bool_]:
    """Return which places of each list hold a target [U, k]."""
    hits = [np.isin(items, rows) for items, rows in zip(lists_Uk, targets, strict=True)]
    return np.array(hits, bool).reshape(lists_Uk.shape)


def _ideal_hits(lists_Uk: TopLists, targets: Sequence[Rows]) -> NDArray[np.bool_]:
    """Return which places would hold one in the best of all lists [U, k]."""
    count_U = np.array([len(rows) for rows in targets], np.int64)
    ideal: NDArray[np.bool_] = np.arange(lists_Uk.shape[1]) < count_U[:, None]
    return ideal


def _discounts(k: int) -> Values:
    discount_k: Values = 1 / np.log2(np.arange(k) + 2)
    return discount_k


def _ratio(part_U: NDArray[np.number], whole_U: NDArray[np.number]) -> Values:
    nothing = np.full(len(whole_U), np.nan)
    ratio_U: Values = np.divide(part_U, whole_U, out=nothing, where=whole_U > 0)
    return ratio_U
