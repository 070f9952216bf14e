"""The rotation between two spaces, and how many old neighbours are found across them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation as Turn
from sklearn.neighbors import NearestNeighbors

from encoders.spaces.procrustes import (
    NEIGHBOURS,
    UnfitForRotation,
    VectorPair,
    cross_recall,
    fitted_rotation,
)


def rotation(width: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]


def unit(rows: int, width: int, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(rows, width)) + shift
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def noisy(vectors: np.ndarray, scale: float, seed: int = 1) -> np.ndarray:
    moved = vectors + scale * np.random.default_rng(seed).normal(size=vectors.shape)
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


@settings(deadline=None)
@given(width=st.integers(2, 8), seed=st.integers(0, 20), shift=st.floats(0, 2))
def test_a_space_that_was_only_rotated_is_turned_back(width: int, seed: int, shift: float) -> None:
    old, turn = unit(60, width, seed, shift), rotation(width, seed)

    found = fitted_rotation(VectorPair(old @ turn.T, old))

    np.testing.assert_allclose(found, turn, atol=1e-4)
    np.testing.assert_allclose(found @ found.T, np.eye(width), atol=1e-12)


def test_the_rotation_is_that_of_kabsch_in_three_dimensions() -> None:
    old = noisy(unit(50, 3) @ Turn.random(rng=0).as_matrix(), 0.05)
    new = unit(50, 3)

    found = fitted_rotation(VectorPair(new, old))

    expected, _ = Turn.align_vectors(old, new)
    np.testing.assert_allclose(found.T, expected.as_matrix(), atol=1e-6)

    centred = fitted_rotation(VectorPair(new, old), centred=True)

    expected, _ = Turn.align_vectors(old - old.mean(axis=0), new - new.mean(axis=0))
    np.testing.assert_allclose(centred.T, expected.as_matrix(), atol=1e-6)


def test_users_count_half_as_much_as_spus_however_many_there_are() -> None:
    spus = VectorPair(unit(50, 3, 1), noisy(unit(50, 3, 1), 0.3))
    users = VectorPair(unit(40, 3, 2), noisy(unit(40, 3, 2), 0.3))

    found = fitted_rotation(spus, users)

    sides = [
        np.concatenate(side) for side in ((spus.old_ND, users.old_ND), (spus.new_ND, users.new_ND))
    ]
    expected, _ = Turn.align_vectors(*sides, weights=np.repeat([1 / 50, 0.5 / 40], [50, 40]))
    np.testing.assert_allclose(found.T, expected.as_matrix(), atol=1e-6)
    twice = VectorPair(*(np.concatenate([side, side]) for side in (users.new_ND, users.old_ND)))
    np.testing.assert_allclose(fitted_rotation(spus, twice), found, atol=1e-9)
    np.testing.assert_allclose(
        fitted_rotation(spus, users[np.empty(0, np.int64)]), fitted_rotation(spus)
    )


def test_vectors_that_determine_no_rotation_are_refused() -> None:
    with pytest.raises(UnfitForRotation, match="have 8 numbers and old ones 4"):
        fitted_rotation(VectorPair(unit(50, 8), unit(50, 4)))
    with pytest.raises(UnfitForRotation, match=r"more than 8 SPUs .* there are 8"):
        fitted_rotation(VectorPair(unit(8, 8), unit(8, 8)))


def test_a_rotation_brings_all_of_the_recall_within_to_searches_across() -> None:
    old, turn = unit(120, 6), rotation(6)
    pair = VectorPair(old @ turn.T, old)

    found = cross_recall(pair, pair, turn, own_Q=np.arange(120))

    assert found.within == pytest.approx(1)
    assert found.across == pytest.approx(1)
    assert found.kept == pytest.approx(1)
    assert found.unrotated < 0.5


def test_recall_across_is_that_of_scikit_learns_neighbours() -> None:
    queries_old, old, turn = unit(30, 6, 2), unit(90, 6, 3), rotation(6)
    queries = VectorPair(noisy(queries_old, 0.1) @ turn.T, queries_old)
    candidates = VectorPair(noisy(old, 0.1, 4) @ turn.T, old)

    found = cross_recall(queries, candidates, turn)

    def recall(asked: np.ndarray, searched: np.ndarray) -> float:
        nearest = [
            NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(c).kneighbors(q)[1]
            for q, c in ((queries.old_ND, candidates.old_ND), (asked, searched))
        ]
        shared = [len(np.intersect1d(*pair)) for pair in zip(*nearest, strict=True)]
        return float(np.mean(shared)) / NEIGHBOURS

    turned_queries, turned = queries.new_ND @ turn, candidates.new_ND @ turn
    assert found.within == pytest.approx(recall(queries.new_ND, candidates.new_ND))
    assert found.across == pytest.approx(
        min(recall(turned_queries, candidates.old_ND), recall(queries.old_ND, turned))
    )
    assert found.unrotated == pytest.approx(
        min(recall(queries.new_ND, candidates.old_ND), recall(queries.old_ND, candidates.new_ND))
    )


def test_a_key_is_not_its_own_neighbour_and_a_small_shop_has_fewer() -> None:
    old = unit(5, 4)
    pair = VectorPair(old, old)

    some = np.array([3, 1])
    found = cross_recall(pair[some], pair, np.eye(4), own_Q=some)

    assert found.within == found.across == 1
    assert np.isnan(cross_recall(pair[some[:0]], pair, np.eye(4)).within)
