"""AUC and nDCG of a ranker, and intervals of the difference between two.

The AUC is of all rows together, so that it also tells users and requests apart; nDCG is the mean of
the requests. An interval is a paired bootstrap over users, who are drawn whole: both rankers are
judged on the same draws.

Shapes: C rows, G users, R requests.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.resampling import CONFIDENCE, ENOUGH_GROUPS, Difference

DRAWS = 300
_SEED = 0

Floats = NDArray[np.float64]
Floating = float | np.floating
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


def auc_draws(scores: Sequence[Floats], judged: Sequence[Judged]) -> Floats:
    """Return the AUC of the rows as they are, then of each draw of users; means over seeds.

    Args:
        scores: of each seed.
        judged: rows of each seed; the same users in all, so that the draws are the same for all
            rankers.
    """
    of_seeds = [
        (WeightedAuc(its, rows.label), rows.user) for its, rows in zip(scores, judged, strict=True)
    ]
    return _figures(
        lambda weights_G: np.mean([of_seed(weights_G[user]) for of_seed, user in of_seeds]), judged
    )


def ndcg_draws(scores: Sequence[Floats], judged: Sequence[Judged]) -> Floats:
    """Return the mean nDCG, as ``auc_draws`` returns the AUC."""
    of_seeds = [request_ndcg(its, rows) for its, rows in zip(scores, judged, strict=True)]
    return _figures(
        lambda weights_G: np.mean(
            [np.average(ndcg, weights=weights_G[user]) for ndcg, user in of_seeds]
        ),
        judged,
    )


def relative(ours: Floats, theirs: Floats) -> Difference:
    """Return by how much our figure is ahead, as a share of theirs; both are draws of the same."""
    more = ours / theirs - 1
    if len(more) == 1:
        return Difference(float(more[0]), float("nan"), float("nan"))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(more[1:], [tail, 1 - tail])
    return Difference(float(more[0]), float(low), float(high))


def _figures(figure: Callable[[Floats], Floating], judged: Sequence[Judged]) -> Floats:
    """Return the figure with all users once, then of each draw; without draws of few users."""
    users = np.unique(np.concatenate([rows.user for rows in judged]))
    n_users, rng = int(users.max()) + 1, np.random.default_rng(_SEED)
    drawn = [np.ones(n_users)]
    if len(users) >= ENOUGH_GROUPS:
        drawn += [
            np.bincount(rng.choice(users, len(users)), minlength=n_users).astype(np.float64)
            for _ in range(DRAWS)
        ]
    return np.array([figure(weights_G) for weights_G in drawn])
