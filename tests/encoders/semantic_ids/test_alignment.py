import numpy as np
import pytest

from encoders.semantic_ids.alignment import membership_centroids
from encoders.semantic_ids.assignment import assigned_codes
from encoders.semantic_ids.codebooks import Codebooks, fit
from encoders.semantic_ids.measurement import changed_codes

SIZE = 6


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, 12))
    x = centres[rng.integers(0, 6, 90)] + 0.3 * rng.normal(size=(90, 12))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def codebooks(vectors: np.ndarray) -> Codebooks:
    return fit(vectors, codebook_size=SIZE)


def test_centroids_are_means_of_the_members_residuals() -> None:
    vectors = np.array([[1, 0], [3, 0], [0, 8], [9, 9]], np.float32)
    codes = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 0], [-1, -1, -1]])

    found = membership_centroids(vectors, codes, codebook_size=2)

    assert found is not None
    np.testing.assert_allclose(found.centroids_VKD[0], [[2, 0], [0, 8]])
    np.testing.assert_allclose(found.centroids_VKD[1], [[-0.5, 0], [1, 0]])


def test_refit_with_another_seed_in_a_rotated_space_keeps_nearly_all_codes(
    vectors: np.ndarray, codebooks: Codebooks
) -> None:
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))[0]
    rotated = (vectors @ rotation).astype(np.float32)
    codes = codebooks.codes(vectors)

    start = membership_centroids(rotated, codes, codebook_size=SIZE)
    again = fit(rotated, codebook_size=SIZE, seed=7, start=start)
    cold = fit(rotated, codebook_size=SIZE, seed=7)

    assert changed_codes(codes, again.codes(rotated))["triple"] <= 0.05
    assert changed_codes(codes, cold.codes(rotated))["triple"] > 0.5


def test_matched_codes_too_keep_their_prefixes(vectors: np.ndarray, codebooks: Codebooks) -> None:
    codes = assigned_codes(vectors, codebooks)

    start = membership_centroids(vectors, codebooks.codes(vectors), codebook_size=SIZE)
    again = assigned_codes(vectors, fit(vectors, codebook_size=SIZE, seed=3, start=start))

    assert changed_codes(codes, again)["c1"] == 0
    assert changed_codes(codes, again)["triple"] <= 0.05


def test_larger_codebooks_keep_the_numbers_of_the_smaller_ones(
    vectors: np.ndarray, codebooks: Codebooks
) -> None:
    codes = codebooks.codes(vectors)

    start = membership_centroids(vectors, codes, codebook_size=2 * SIZE)
    larger = fit(vectors, codebook_size=2 * SIZE, start=start)

    assert larger.size == 2 * SIZE
    is_kept = larger.codes(vectors)[:, 0] == codes[:, 0]
    assert is_kept.mean() > 0.3


def test_nothing_to_align_to_is_none(vectors: np.ndarray) -> None:
    codes = np.full((len(vectors), 3), -1)

    assert membership_centroids(vectors, codes, codebook_size=SIZE) is None
