"""EASE against its formula in float64, and against least squares."""

import numpy as np
import pytest

from encoders.learn.baselines.ease import MOST_ITEMS, CatalogueTooLarge, best_ridge, ease
from encoders.learn.history import History


def _histories(count: int, n_items: int) -> list[History]:
    rng = np.random.default_rng(0)
    return [History.one_by_one(rng.integers(0, n_items, rng.integers(1, 9))) for _ in range(count)]


def _matrix(histories: list[History], n_items: int) -> np.ndarray:
    met = np.zeros((len(histories), n_items))
    for row, history in enumerate(histories):
        met[row, history.items] = 1
    return met


def test_weights_are_those_of_a_ridge_regression_on_all_other_items() -> None:
    histories, n_items = _histories(60, 12), 12
    met = _matrix(histories, n_items)

    scores = ease(histories, n_items, ridge=3.0)(histories[:5])

    expected = np.zeros((5, n_items))
    for item in range(n_items):
        others = np.delete(np.arange(n_items), item)
        gram = met[:, others].T @ met[:, others] + 3.0 * np.eye(n_items - 1)
        weights = np.linalg.solve(gram, met[:, others].T @ met[:, item])
        expected[:, item] = met[:5, others] @ weights
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_an_item_that_was_met_often_counts_once() -> None:
    histories = _histories(40, 8)
    ranker = ease([*histories, History.one_by_one([])], 8, ridge=10.0)

    once, often = (History.one_by_one(items) for items in ([1, 2], [1, 2, 1, 1]))

    np.testing.assert_array_equal(ranker([once]), ranker([often]))


def test_nobody_gives_scores_of_zero() -> None:
    assert ease([], 3, ridge=1.0)([History.one_by_one([1])]).tolist() == [[0, 0, 0]]


def test_the_ridge_is_the_one_that_ranks_best_what_is_watched() -> None:
    # Items 0 and 1 go together thirty times; 0 and 2 once, where nobody met 2 without 0.
    histories = [History.one_by_one(its) for its in [[0, 1]] * 30 + [[1]] * 30 + [[0, 2], [0, 1]]]
    watched_from = [2] * 30 + [1] * 30 + [2, 1]

    assert best_ridge(histories, watched_from, 4, ridges=(1e6, 1.0)) == 1e6
    assert best_ridge(histories, [2] * 62, 4, ridges=(5.0, 1.0)) == 5.0


def test_a_catalogue_that_is_too_large_is_refused_before_memory_is_taken() -> None:
    with pytest.raises(CatalogueTooLarge, match=r"at most 15,000, but there are 15,001"):
        ease([], MOST_ITEMS + 1, ridge=1.0)
