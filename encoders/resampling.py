"""Resampling: confidence intervals of the difference between two encoders on held-out cases.

A percentile bootstrap (Efron and Tibshirani 1993, chapter 13) over groups of held-out cases. A
group is what is drawn as a whole: a user, or an SPU with all its items. Both encoders are judged
on the same draw, so what makes a case hard for both falls out of the difference.

Shapes: K parts of a figure, G groups.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

CONFIDENCE = 0.95
# Of fewer groups, draws repeat too much to say how sure a difference is.
ENOUGH_GROUPS = 20
_RESAMPLES = 2000
# Draws of at most so many groups are held in memory together.
_CELLS_AT_ONCE = 2_000_000
_SEED = 0

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Scores of held-out cases. The figure is the mean over parts of the mean over their cases.

    Attributes:
        sum_KG: scores of a group's cases in each part, added up.
        cases_KG: how many those are.
    """

    sum_KG: Matrix
    cases_KG: Matrix

    @property
    def figure(self) -> float:
        """Nan without a case."""
        return float(_figure(self.sum_KG.sum(axis=1), self.cases_KG.sum(axis=1)))


def scores_of_users(scores_G: Matrix) -> Scores:
    """Return scores [G] of one case a user, all in one part."""
    return Scores(scores_G[None], np.ones((1, len(scores_G))))


@dataclass(frozen=True)
class Difference:
    """How far one encoder is ahead of another, and between what in ``CONFIDENCE`` of the draws.

    Attributes:
        low, high: nan where there are fewer than ``ENOUGH_GROUPS``.
    """

    mean: float
    low: float
    high: float

    def as_json(self) -> dict[str, float | None]:
        """Return the numbers by name, null where there is none."""
        return {k: None if math.isnan(v) else v for k, v in asdict(self).items()}

    @property
    def is_clear(self) -> bool:
        """True where 0 is outside."""
        return self.low > 0 or self.high < 0


def difference(ours: Scores, theirs: Scores) -> Difference:
    """Return how far ``ours`` is ahead of ``theirs``; the same cases give the same answer.

    Raises:
        ValueError: they are not scores of the same cases.
    """
    if not np.array_equal(ours.cases_KG, theirs.cases_KG):
        raise ValueError(
            f"scores of the same cases should be compared, but there are {ours.cases_KG.sum():.0f} "
            f"in {ours.cases_KG.shape} and {theirs.cases_KG.sum():.0f} in {theirs.cases_KG.shape}."
        )
    ahead_KG, groups = ours.sum_KG - theirs.sum_KG, ours.cases_KG.shape[1]
    mean = ours.figure - theirs.figure
    if groups < ENOUGH_GROUPS:
        return Difference(mean, float("nan"), float("nan"))
    if not ahead_KG.any():
        return Difference(0.0, 0.0, 0.0)

    def ahead(drawn: NDArray[np.int64], axis: int = -1) -> Matrix:
        return _figure(ahead_KG[:, drawn].sum(axis=axis), ours.cases_KG[:, drawn].sum(axis=axis))

    drawn = bootstrap(
        (np.arange(groups),),
        ahead,
        n_resamples=_RESAMPLES,
        batch=max(1, _CELLS_AT_ONCE // groups),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    )
    return Difference(mean, *map(float, drawn.confidence_interval))


def _figure(sum_K: Matrix, cases_K: Matrix) -> Matrix:
    """Return the mean over parts of sum by cases; a part of which no case was drawn is left out."""
    there_K = cases_K > 0
    mean_K = np.divide(sum_K, cases_K, out=np.zeros_like(sum_K), where=there_K)
    parts = there_K.sum(axis=0)
    figure: Matrix = np.divide(
        mean_K.sum(axis=0), parts, out=np.full(parts.shape, np.nan), where=parts > 0
    )
    return figure
