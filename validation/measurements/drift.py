"""Drift and collapse of vectors: effect sizes with thresholds by chance, and use of the space.

With tens of thousands of rows every p-value test fires on shifts of no consequence, so nothing here
is a test of significance. Each effect size has a floor below which a shift is of no consequence;
its threshold is the larger of that floor and what two random parts of the published vectors differ
by at the same sizes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Shape suffixes: N, M vectors of width D; R random features.
Vectors = NDArray[np.float64]

# 24 random splits put the relative error of their standard deviation at 15 %, small beside the
# margin below.
SPLITS = 24
# mean + 4 sd of the splits: under no drift none of 380 comparisons of four effects at n = 25, 50,
# 200 and 1000 raised an alarm; mean + 2 sd raised 25
# (tests/validation/measurements/test_drift.py has a part of them).
MARGIN = 4.0
# Fewer vectors are not measured: two halves of 20 differ by 1.3 sd in some of 64 dimensions by
# chance.
MIN_VECTORS = 20

# float32 vectors of one content that were encoded in different batches agree to 1e-6; 0.9999 is 0.8
# degrees.
SAME_DIRECTION = 0.9999

_FOLDS = 5
_RANDOM_FEATURES = 256
_NORM_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Effect:
    """One effect size and the most that is tolerated."""

    name: str
    value: float
    threshold: float


def drift_effects(
    old_ND: Vectors,
    new_MD: Vectors,
    published_ND: Vectors,
    *,
    floors: Mapping[str, float],
    seed: int = 0,
) -> list[Effect]:
    """Compare new vectors with old ones.

    Args:
        old_ND: vectors to compare with. Row i is the earlier vector of row i of ``new_MD`` where
            there is one: the classifier then holds out both together.
        new_MD: tonight's vectors.
        published_ND: vectors of which two random parts show what chance does at these sizes.
        floors: effect name -> size below which a shift is of no consequence; see ``effect_sizes``
            for the names.

    Returns:
        One effect a name of ``floors``.
    """
    rng = np.random.default_rng(seed)
    features = _random_features(published_ND, rng)
    n_new = min(len(new_MD), len(published_ND) // 2)
    n_old = min(len(old_ND), len(published_ND) - n_new)
    splits = []
    for _ in range(SPLITS):
        shuffled_ND = published_ND[rng.permutation(len(published_ND))]
        split = shuffled_ND[:n_old], shuffled_ND[n_old : n_old + n_new]
        splits.append(effect_sizes(*split, features))
    seen = effect_sizes(old_ND, new_MD, features)
    return [
        Effect(name, seen[name], max(floor, _tolerated([split[name] for split in splits])))
        for name, floor in floors.items()
    ]


@dataclass(frozen=True)
class RandomFeatures:
    """Random Fourier features of a Gaussian kernel (Rahimi and Recht, 2007)."""

    weights_DR: Vectors
    phases_R: Vectors

    def mean(self, vectors_ND: Vectors) -> Vectors:
        scale = np.sqrt(2.0 / len(self.phases_R))
        mean_R: Vectors = scale * np.cos(vectors_ND @ self.weights_DR + self.phases_R).mean(axis=0)
        return mean_R


def effect_sizes(old_ND: Vectors, new_MD: Vectors, features: RandomFeatures) -> dict[str, float]:
    """Return the effect sizes by name.

    ``mean_shift``: largest shift of a component's mean, in pooled standard deviations.
    ``classifier_auc``: how well a linear classifier tells held-out new vectors from old ones; 0.5
    is not at all. ``mmd``: squared maximum mean discrepancy by random Fourier features, 0 to 2.
    ``norm_shift``: largest shift of a quantile of the L2 norm.
    """
    discrepancy_R = features.mean(new_MD) - features.mean(old_ND)
    return {
        "mean_shift": _mean_shift(old_ND, new_MD),
        "classifier_auc": _classifier_auc(old_ND, new_MD),
        "mmd": float(discrepancy_R @ discrepancy_R),
        "norm_shift": _norm_shift(old_ND, new_MD),
    }


def mean_cosine(vectors_ND: Vectors) -> float:
    """Return the mean cosine over all pairs of different rows."""
    unit_ND = _unit(vectors_ND)
    n = len(unit_ND)
    total_D = unit_ND.sum(axis=0)
    return float((total_D @ total_D - n) / (n * (n - 1)))


def effective_rank(vectors_ND: Vectors) -> float:
    """Return the number of directions in use.

    The exponential of the spectrum's entropy (Roy and Vetterli, 2007). Directions are those of the
    rows around their mean; 1 when all rows are the same.
    """
    centred_ND = vectors_ND - vectors_ND.mean(axis=0)
    spectrum = np.linalg.svd(centred_ND, compute_uv=False) ** 2
    if spectrum.sum() < 1e-9 * len(vectors_ND):
        return 1.0
    shares = spectrum / spectrum.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def near_identical_share(vectors_ND: Vectors, contents: Sequence[str]) -> float:
    """Return the share of rows that have the direction of a row of another content."""
    unit_ND = _unit(vectors_ND)
    codes = np.unique(np.asarray(contents), return_inverse=True)[1]
    same_NN = (unit_ND @ unit_ND.T > SAME_DIRECTION) & (codes[:, None] != codes[None, :])
    return float(same_NN.any(axis=1).mean())


def _tolerated(values: list[float]) -> float:
    return float(np.mean(values) + MARGIN * np.std(values, ddof=1))


def _mean_shift(old_ND: Vectors, new_MD: Vectors) -> float:
    pooled_D = np.sqrt((old_ND.var(axis=0) + new_MD.var(axis=0)) / 2)
    difference_D = np.abs(new_MD.mean(axis=0) - old_ND.mean(axis=0))
    # A component that never varies has no standard deviation; rounding must not look like a shift
    # of it.
    return float((difference_D / np.maximum(pooled_D, 1e-6)).max())


def _classifier_auc(old_ND: Vectors, new_MD: Vectors) -> float:
    """Return the AUC of a ridge classifier on held-out folds, mean over the folds."""
    vectors_ND = np.concatenate([old_ND, new_MD])
    is_new = np.repeat([0.0, 1.0], [len(old_ND), len(new_MD)])
    fold = np.concatenate([np.arange(len(old_ND)), np.arange(len(new_MD))]) % _FOLDS
    aucs = []
    for held_out in range(_FOLDS):
        train, test = fold != held_out, fold == held_out
        direction_D = _discriminant(vectors_ND[train], is_new[train])
        aucs.append(_auc(vectors_ND[test] @ direction_D, is_new[test]))
    return float(np.mean(aucs))


def _discriminant(vectors_ND: Vectors, is_new: NDArray[np.float64]) -> Vectors:
    centred_ND = vectors_ND - vectors_ND.mean(axis=0)
    n, width = centred_ND.shape
    covariance_DD = centred_ND.T @ centred_ND / n
    # Shrink by D/N: with fewer vectors than components the covariance alone has no inverse.
    ridge = max(width / n, 1e-3) * np.trace(covariance_DD) / width + 1e-12
    difference_D = vectors_ND[is_new == 1].mean(axis=0) - vectors_ND[is_new == 0].mean(axis=0)
    direction_D: Vectors = np.linalg.solve(covariance_DD + ridge * np.eye(width), difference_D)
    return direction_D


def _auc(scores: NDArray[np.float64], is_new: NDArray[np.float64]) -> float:
    # Mean ranks for ties: unchanged pairs score the same, and must come out at one half.
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    n_new = is_new.sum()
    n_old = len(is_new) - n_new
    return float((ranks[is_new == 1].sum() - n_new * (n_new + 1) / 2) / (n_new * n_old))


def _norm_shift(old_ND: Vectors, new_MD: Vectors) -> float:
    old, new = (
        np.quantile(np.linalg.norm(vectors, axis=1), _NORM_QUANTILES)
        for vectors in (old_ND, new_MD)
    )
    return float(np.abs(new - old).max())


def _random_features(vectors_ND: Vectors, rng: np.random.Generator) -> RandomFeatures:
    """Draw features whose bandwidth is the median distance between vectors."""
    some_ND = vectors_ND[rng.permutation(len(vectors_ND))[:200]]
    squares_NN = ((some_ND[:, None, :] - some_ND[None, :, :]) ** 2).sum(axis=2)
    bandwidth = max(float(np.sqrt(np.median(squares_NN[np.triu_indices(len(some_ND), 1)]))), 1e-6)
    weights_DR = rng.standard_normal((vectors_ND.shape[1], _RANDOM_FEATURES)) / bandwidth
    return RandomFeatures(weights_DR, rng.uniform(0, 2 * np.pi, _RANDOM_FEATURES))


def _unit(vectors_ND: Vectors) -> Vectors:
    norms_N1 = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    unit_ND: Vectors = vectors_ND / np.maximum(norms_N1, 1e-12)
    return unit_ND
