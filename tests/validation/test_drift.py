"""Drift passes where nothing drifted, at several sizes, and detects what did."""

import numpy as np
import pytest
from numpy.typing import NDArray

from validation.drift import drift_effects, effect_sizes, RandomFeatures
from validation.vectors import CHANGED_FLOORS, POPULATION_FLOORS


def unit_vectors(rng: np.random.Generator, n: int, width: int = 64) -> NDArray[np.float64]:
    """Vectors around 12 centres, with a spectrum that falls off, as encoders give them."""
    centres = np.random.default_rng(1).standard_normal((12, width)) * 0.7
    spread = 1.0 / np.sqrt(1 + np.arange(width))
    vectors = centres[rng.integers(0, 12, n)] + rng.standard_normal((n, width)) * spread
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def failures(effects: list) -> list[str]:
    return [effect.name for effect in effects if effect.value > effect.threshold]


@pytest.mark.parametrize("n", [25, 50, 200, 1000])
@pytest.mark.parametrize("floors", [CHANGED_FLOORS, POPULATION_FLOORS])
def test_no_drift_passes_in_95_percent_of_seeds(n: int, floors: dict[str, float]) -> None:
    seeds = 60 if n < 1000 else 10
    failed = 0
    for seed in range(seeds):
        rng = np.random.default_rng(100 + seed)
        published = unit_vectors(rng, 1000)
        old, new = unit_vectors(rng, n), unit_vectors(rng, n)
        failed += bool(failures(drift_effects(old, new, published, floors=floors, seed=seed)))
    assert failed <= 0.05 * seeds
