"""Nearest neighbours, and the share of them that two releases have in common."""

import numpy as np
import pytest

from spark_jobs.evaluation.neighbour_overlap import NEIGHBOURS, nearest_rows, overlap


def unit(rows: int, width: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_nearest_rows_are_those_of_the_largest_cosine() -> None:
    queries, candidates = unit(5, 8, 0), unit(40, 8, 1)
    expected = np.argsort(-queries @ candidates.T, axis=1)[:, :NEIGHBOURS]
    assert (nearest_rows(queries, candidates, same_rows=False) == expected).all()


def test_a_row_is_not_its_own_neighbour_even_beside_an_equal_one() -> None:
    vectors = np.concatenate([unit(20, 8, 2), unit(20, 8, 2)])
    nearest = nearest_rows(vectors, vectors, same_rows=True)
    assert nearest.shape == (40, NEIGHBOURS)
    assert not (nearest == np.arange(40)[:, None]).any()


def test_a_rotation_keeps_every_neighbour_and_noise_does_not() -> None:
    vectors = unit(200, 8, 3)
    rotation, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(8, 8)))
    near = nearest_rows(vectors, vectors, same_rows=True)
    rotated = (vectors @ rotation).astype(np.float32)
    assert overlap(near, nearest_rows(rotated, rotated, same_rows=True)) == pytest.approx(
        1, abs=0.01
    )
    others = unit(200, 8, 5)
    assert overlap(near, nearest_rows(others, others, same_rows=True)) < 0.2


def test_the_overlap_of_no_rows_is_nan() -> None:
    nothing = np.empty((0, 3), np.int64)
    assert np.isnan(overlap(nothing, nothing))
