"""AUC and nDCG of a ranker, and intervals of the difference between two.

The AUC is of all rows together, so that it also tells users and requests apart; nDCG is the mean of
the requests. An interval is a paired bootstrap over users, who are drawn whole: both rankers are
judged on the same draws.

Shapes: C rows, G users, R requests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.resampling import CONFIDENCE, ENOUGH_GROUPS, Difference

DRAWS = 500
_SEED = 0

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Judged:
    """Rows that rankers are judged on.

    Attributes:
        label: [C].
        request, user: number of each row's [C].
    """

    label: NDArray[np.bool_]
    request: Rows
    user: Rows

    def rows(self, kept: NDArray[np.bool_]) -> "Judged":
        """Return some of the rows."""
        return Judged(self.label[kept], self.request[kept], self.user[kept])


class WeightedAuc:
    """AUC of one ranker under any weights of the rows; equal scores count half."""

    def __init__(self, scores: Floats, label: NDArray[np.bool_]) -> None:
        _, place = np.unique(scores, return_inverse=True)
        order = np.argsort(place, kind="stable")
        self._order, self._label = order, label[order]
        self._starts = np.flatnonzero(np.r_[True, np.diff(place[order]) != 0])

    def __call__(self, weights: Floats) -> float:
        """Return the AUC; nan where one of the labels has no weight."""
        weight = weights[self._order]
        positive = np.add.reduceat(weight * self._label, self._starts)
        negative = np.add.reduceat(weight * ~self._label, self._starts)
        below = np.cumsum(negative) - negative / 2
        total = positive.sum() * negative.sum()
        return float(positive @ below / total) if total else float("nan")


def auc(scores: Floats, judged: Judged) -> float:
    """Return the AUC of all rows together."""
    return WeightedAuc(scores, judged.label)(np.ones(len(scores)))


def request_ndcg(scores: Floats, judged: Judged) -> tuple[Floats, Rows]:
    """Return the nDCG of each request that has both labels, and its user [R]."""
    order = np.lexsort((-scores, judged.request))
    request, label = judged.request[order], judged.label[order]
    starts = np.flatnonzero(np.r_[True, np.diff(request) != 0])
    sizes = np.diff(np.r_[starts, len(request)])
    place = np.arange(len(request)) - np.repeat(starts, sizes)
    gains = np.add.reduceat(label / np.log2(place + 2), starts)
    n_positive = np.add.reduceat(label.astype(np.int64), starts)
    best = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(sizes.max()) + 2))])
    both = (n_positive > 0) & (n_positive < sizes)
    return gains[both] / best[n_positive[both]], judged.user[order][starts][both]


def auc_difference(
    ours: Sequence[Floats], theirs: Sequence[Floats], judged: Sequence[Judged]
) -> Difference:
    """Return by how much our AUC is ahead, as a share of theirs; the mean over seeds.

    Args:
        ours, theirs: scores of each seed.
        judged: rows of each seed; users have the same numbers in all.
    """
    n_users = 1 + max(int(rows.user.max()) for rows in judged)
    pairs = [
        (WeightedAuc(our, rows.label), WeightedAuc(their, rows.label), rows.user)
        for our, their, rows in zip(ours, theirs, judged, strict=True)
    ]

    def ahead(weights_G: Floats) -> float:
        figures = np.array(
            [(our(weights_G[user]), their(weights_G[user])) for our, their, user in pairs]
        )
        return float(figures[:, 0].mean() / figures[:, 1].mean() - 1)

    return _interval(ahead, np.unique(np.concatenate([rows.user for rows in judged])), n_users)


def ndcg_difference(
    ours: Sequence[Floats], theirs: Sequence[Floats], judged: Sequence[Judged]
) -> Difference:
    """Return by how much our mean nDCG is ahead, as a share of theirs; the mean over seeds."""
    n_users = 1 + max(int(rows.user.max()) for rows in judged)
    pairs = [
        (request_ndcg(our, rows)[0], *request_ndcg(their, rows))
        for our, their, rows in zip(ours, theirs, judged, strict=True)
    ]

    def ahead(weights_G: Floats) -> float:
        means = np.array(
            [
                (
                    np.average(our, weights=weights_G[user]),
                    np.average(their, weights=weights_G[user]),
                )
                for our, their, user in pairs
            ]
        )
        return float(means[:, 0].mean() / means[:, 1].mean() - 1)

    return _interval(ahead, np.unique(np.concatenate([user for *_, user in pairs])), n_users)


def _interval(ahead: "Ahead", users: Rows, n_users: int) -> Difference:  # noqa: F821
    mean = ahead(np.ones(n_users))
    if len(users) < ENOUGH_GROUPS:
        return Difference(mean, float("nan"), float("nan"))
    rng = np.random.default_rng(_SEED)
    draws = []
    for _ in range(DRAWS):
        weights = np.bincount(rng.choice(users, len(users)), minlength=n_users)
        draws.append(ahead(weights.astype(np.float64)))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return Difference(mean, float(low), float(high))
