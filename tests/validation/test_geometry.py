"""Collapsed vectors are told from vectors that use their space."""

import numpy as np
import pytest

from validation.geometry import effective_rank, mean_cosine, near_identical_share


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
