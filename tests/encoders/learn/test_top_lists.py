"""Top lists against sorting in full, and their metrics against scikit-learn and worked examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import ndcg_score

from encoders.learn.history import Case, History
from encoders.learn.rules import Ranker
from encoders.learn.top_lists import coverage, debiased_ndcg, ndcg, recall, top_lists


def _case(history: list[int]) -> Case:
    return Case(History.one_by_one(history), np.array([0]))


def _by_scores(scores: NDArray[np.float32]) -> Ranker:
    """Return a ranker that scores for the user whose history begins with item n by row n."""
    return lambda users: scores[[int(user.items[0]) for user in users]]


def test_lists_hold_the_best_items_with_and_without_those_seen() -> None:
    scores = np.array([[5.0, 1, 4, 2, 3]], np.float32)

    masked, unmasked = top_lists(_by_scores(scores), [_case([0, 4])], k=2)

    assert unmasked.tolist() == [[0, 2]]
    assert masked.tolist() == [[2, 3]]
    assert scores.tolist() == [[5, 1, 4, 2, 3]]


def test_lists_are_as_long_as_there_are_items_to_find() -> None:
    scores = np.array([[np.nan, 1, -np.inf, 2, 3]], np.float32)

    masked, unmasked = top_lists(_by_scores(scores), [_case([0, 4])], k=7)

    assert unmasked.tolist() == [[4, 3, 1, -1, -1, -1, -1]]
    assert masked.tolist() == [[3, 1, -1, -1, -1, -1, -1]]


@given(st.data())
def test_lists_are_the_head_of_a_stable_sort(data: st.DataObject) -> None:
    n_items = data.draw(st.integers(1, 12))
    row = st.lists(st.integers(0, 3), min_size=n_items, max_size=n_items)
    scores = np.array(data.draw(st.lists(row, min_size=1, max_size=4)), np.float32)
    users = [_case([n % n_items]) for n in range(min(len(scores), n_items))]

    _, found = top_lists(_by_scores(scores), users, k=3)

    expected = np.argsort(-scores[: len(users)], kind="stable", axis=1)[:, :3]
    assert found[:, : min(3, n_items)].tolist() == expected.tolist()


def test_more_users_than_are_ranked_together_keep_their_order() -> None:
    scores = np.eye(600, dtype=np.float32)

    _, found = top_lists(_by_scores(scores), [_case([n]) for n in range(600)], k=1)

    assert found[:, 0].tolist() == list(range(600))


def test_ndcg_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    scores = rng.permuted(np.tile(np.arange(30.0, dtype=np.float32), (8, 1)), axis=1)
    targets = [np.sort(rng.choice(30, size, replace=False)) for size in (1, 2, 3, 5, 8, 13, 20, 30)]
    relevant = np.zeros(scores.shape)
    for row, its in enumerate(targets):
        relevant[row, its] = 1

    _, lists = top_lists(_by_scores(scores), [_case([n]) for n in range(8)], k=10)

    expected = [ndcg_score(relevant[[n]], scores[[n]], k=10) for n in range(8)]
    np.testing.assert_allclose(ndcg(lists, targets), expected)


def test_recall_is_the_share_found_of_at_most_k() -> None:
    lists = np.array([[3, 1], [0, 2], [0, 1], [5, -1]])
    targets = [np.array(its, np.int64) for its in ([1, 4], [0, 2, 3, 4], [], [5])]

    found = recall(lists, targets)

    assert found[[0, 1, 3]].tolist() == [0.5, 1, 1]
    assert np.isnan(found[2])


def test_debiased_ndcg_weighs_each_target_by_the_inverse_root_of_its_events() -> None:
    events = np.array([99, 3, 0])
    lists = np.array([[0, 2], [0, 1]])
    first, second = np.array([0]), np.array([1])

    found = debiased_ndcg(lists, [first, second], events)

    # Weights .1 and .5: one found in the first place, the other in the second.
    assert found == pytest.approx((0.1 + 0.5 / np.log2(3)) / (0.1 + 0.5))


def test_debiased_ndcg_is_one_where_the_rarest_targets_come_first() -> None:
    events = np.array([99, 3, 0, 8])

    assert debiased_ndcg(np.array([[2, 1, 0]]), [np.array([0, 1, 2])], events) == pytest.approx(1)
    assert debiased_ndcg(np.array([[0, 1, 2]]), [np.array([0, 1, 2])], events) < 0.95
    assert np.isnan(debiased_ndcg(np.array([[0, 1, 2]]), [np.array([], np.int64)], events))


def test_debiased_ndcg_is_the_mean_where_all_items_are_as_popular() -> None:
    rng = np.random.default_rng(1)
    lists = np.stack([rng.permutation(9)[:4] for _ in range(50)])
    targets = [rng.integers(0, 9, 1) for _ in range(50)]

    found = debiased_ndcg(lists, targets, np.full(9, 7))

    assert found == pytest.approx(ndcg(lists, targets).mean())


def test_coverage_counts_items_that_are_in_a_list() -> None:
    assert coverage(np.array([[1, 2], [2, -1]]), 8) == 0.25
