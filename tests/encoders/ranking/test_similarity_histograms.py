"""Histograms of similarity count what numpy's own histogram counts, of vectors that are there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.ranking.similarity_histograms import BINS, similarity_histogram, vector_matrix


def drawn(rows: int, width: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def test_a_histogram_counts_cosines_as_numpy_does() -> None:
    candidates, history = drawn(5), drawn(40, seed=1)
    cosines = (candidates / np.linalg.norm(candidates, axis=1, keepdims=True)) @ (
        history / np.linalg.norm(history, axis=1, keepdims=True)
    ).T
    edges = [-1.1, *np.linspace(0, 1, BINS)]

    counts = similarity_histogram(candidates, history)

    assert counts.dtype == np.float32
    np.testing.assert_array_equal(counts, [np.histogram(row, edges)[0] for row in cosines])


@given(st.integers(0, 30), st.integers(1, 6), st.integers(2, 16), st.integers(0, 99))
def test_every_product_of_the_history_is_counted_once(
    n_history: int, n_candidates: int, bins: int, seed: int
) -> None:
    counts = similarity_histogram(drawn(n_candidates, seed=seed), drawn(n_history), bins=bins)

    assert counts.shape == (n_candidates, bins)
    assert (counts.sum(axis=1) == n_history).all()


def test_the_same_product_lies_in_the_last_bin_and_its_opposite_in_the_first() -> None:
    product = drawn(1)

    counts = similarity_histogram(product, np.concatenate([product, product * 3, -product]))

    assert counts[0, -1] == 2
    assert counts[0, 0] == 1


def test_the_length_of_a_vector_and_the_other_candidates_change_nothing() -> None:
    candidates, history = drawn(6), drawn(20, seed=1)

    alone = similarity_histogram(candidates[2:3] * 7, history / 3)

    np.testing.assert_array_equal(alone[0], similarity_histogram(candidates, history)[2])


@pytest.mark.parametrize("missing", [np.nan, 0.0])
def test_what_has_no_vector_is_left_out(missing: float) -> None:
    candidates, history = drawn(2), drawn(4, seed=1)
    candidates[0], history[1] = missing, missing

    counts = similarity_histogram(candidates, history)

    assert not counts[0].any()
    assert counts[1].sum() == 3


def test_vectors_of_two_releases_are_refused() -> None:
    with pytest.raises(ValueError, match="candidates have 64 numbers and the history has 128"):
        similarity_histogram(drawn(1, 64), drawn(1, 128))


def test_one_bin_is_refused() -> None:
    with pytest.raises(ValueError, match="bins is 1"):
        similarity_histogram(drawn(1), drawn(1), bins=1)


def test_vectors_of_feast_become_rows_and_nulls_become_nan() -> None:
    matrix = vector_matrix([[1.0, 2.0], None, np.array([3.0, 4.0]), []])

    np.testing.assert_array_equal(matrix, [[1, 2], [np.nan] * 2, [3, 4], [np.nan] * 2])
    assert matrix.dtype == np.float32


def test_candidates_and_history_without_any_vector_give_zeros() -> None:
    nothing = vector_matrix([None, None])

    assert not similarity_histogram(nothing, nothing).any()
    assert similarity_histogram(nothing[:1], vector_matrix([])).shape == (1, BINS)
