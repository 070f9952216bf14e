"""Drift and collapse are found where they are, and nowhere else, at several sizes."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from validation.measurements.drift import (
    Effect,
    _auc,
    drift_effects,
    effective_rank,
    mean_cosine,
    near_identical_share,
)
from validation.measurements.vectors import CHANGED_FLOORS, POPULATION_FLOORS


def unit_vectors(rng: np.random.Generator, n: int, width: int = 64) -> NDArray[np.float64]:
    """Vectors around 12 centres with a spectrum that falls off, as encoders give them."""
    centres = np.random.default_rng(1).standard_normal((12, width)) * 0.7
    spread = 1.0 / np.sqrt(1 + np.arange(width))
    return unit(centres[rng.integers(0, 12, n)] + rng.standard_normal((n, width)) * spread)


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def failed(effects: list[Effect]) -> list[str]:
    return [effect.name for effect in effects if effect.value > effect.threshold]


@pytest.mark.heavy
@pytest.mark.parametrize(("n", "seeds"), [(25, 20), (50, 20), (200, 20), (1000, 6)])
def test_no_drift_passes_in_95_percent_of_seeds(n: int, seeds: int) -> None:
    # With floors of 0 the thresholds are chance's alone; unit vectors have no chance of another
    # norm.
    floors = dict.fromkeys(CHANGED_FLOORS, 0.0) | {"norm_shift": 0.01}
    alarms = 0
    for seed in range(seeds):
        rng = np.random.default_rng(100 + seed)
        published = unit_vectors(rng, 1000)
        old, new = unit_vectors(rng, n), unit_vectors(rng, n)
        effects = drift_effects(old, new, published, floors=floors, seed=seed)
        alarms += bool(failed(effects))

    assert alarms <= 0.05 * seeds


@pytest.mark.parametrize("n", [50, 200, 1000])
def test_shift_of_all_changed_vectors_is_detected(n: int) -> None:
    rng = np.random.default_rng(7)
    published, old = unit_vectors(rng, 1000), unit_vectors(rng, n)
    direction = unit(rng.standard_normal((1, 64)))
    new = unit(unit_vectors(rng, n) + 0.8 * direction)

    effects = drift_effects(old, new, published, floors=CHANGED_FLOORS)

    assert {"mean_shift", "classifier_auc", "mmd"} <= set(failed(effects))


def test_half_of_the_population_collapsed_is_detected() -> None:
    rng = np.random.default_rng(8)
    published = unit_vectors(rng, 1000)
    tonight = published.copy()
    tonight[::2] = tonight[0]

    effects = drift_effects(published, tonight, published, floors=POPULATION_FLOORS)

    assert {"mean_shift", "classifier_auc", "mmd"} <= set(failed(effects))


def test_five_percent_new_content_is_no_drift() -> None:
    rng = np.random.default_rng(9)
    published = unit_vectors(rng, 1000)
    tonight = published.copy()
    tonight[:50] = unit_vectors(rng, 50)

    effects = drift_effects(published, tonight, published, floors=POPULATION_FLOORS)

    assert failed(effects) == []


def test_longer_vectors_shift_the_norm() -> None:
    rng = np.random.default_rng(10)
    published = unit_vectors(rng, 100)

    effects = drift_effects(published, 1.05 * published, published, floors={"norm_shift": 0.01})

    assert effects[0].value == pytest.approx(0.05)
    assert failed(effects) == ["norm_shift"]


def test_constant_vectors_are_compared_without_warnings() -> None:
    same = np.tile(unit(np.ones((1, 8))), (40, 1))

    effects = drift_effects(same, same, same, floors=POPULATION_FLOORS)

    assert failed(effects) == []


def test_auc_is_scikit_learns_with_ties() -> None:
    rng = np.random.default_rng(11)
    scores, is_new = rng.integers(0, 5, 200).astype(float), rng.integers(0, 2, 200).astype(float)

    assert _auc(scores, is_new) == pytest.approx(roc_auc_score(is_new, scores))


def test_mean_cosine_is_that_of_all_pairs() -> None:
    vectors = np.random.default_rng(0).standard_normal((30, 5))

    cosines = np.corrcoef(np.hstack([vectors, -vectors]))  # rows of mean 0: correlation is cosine
    assert mean_cosine(vectors) == pytest.approx(cosines[np.triu_indices(30, 1)].mean())


def test_effective_rank_counts_directions_in_use() -> None:
    axes = np.vstack([np.eye(6), -np.eye(6)])

    assert effective_rank(axes) == pytest.approx(6)
    assert effective_rank(np.ones((20, 6))) == 1
    assert effective_rank(np.vstack([np.eye(6)[:1], -np.eye(6)[:1]])) == pytest.approx(1)


def test_near_identical_share_leaves_equal_contents_alone() -> None:
    vectors = np.array([[1.0, 0.0], [2.0, 0.0], [1.0, 0.0], [0.0, 1.0]])

    assert near_identical_share(vectors, ["a", "a", "a", "b"]) == 0
    assert near_identical_share(vectors, ["a", "a", "c", "b"]) == 0.75
