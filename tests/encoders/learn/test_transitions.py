"""Transitions against plain loops over users and moments."""

from random import Random

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from encoders.learn.history import History
from encoders.learn.rules import Rules
from encoders.learn.transitions import DECAYS, transition_scores, transitions

N_ITEMS = 6
# Of the shop whose transitions are scored.
CATALOGUE = 30
# Baskets of a user, oldest first.
Baskets = list[list[int]]

some_users = st.lists(
    st.lists(st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=4), min_size=0, max_size=8),
    min_size=0,
    max_size=4,
)


def _history(baskets: Baskets) -> History:
    items = [item for basket in baskets for item in basket]
    return History.at(items, np.repeat(range(len(baskets)), [len(b) for b in baskets]))


def _counts_by_loops(users: list[Baskets]) -> NDArray[np.float64]:
    """Count pairs: an item, and what the same or a later basket spreads over its items."""
    counts = np.zeros((N_ITEMS, N_ITEMS))
    for baskets in users:
        for earlier in range(len(baskets)):
            for later in range(earlier, min(earlier + 6, len(baskets))):
                for item in set(baskets[earlier]):
                    for other in set(baskets[later]):
                        weight = _pair_weight(baskets, (earlier, item), (later, other))
                        counts[item, other] += weight
                        if later > earlier:
                            counts[other, item] += 0.5 * weight
    return counts


def _pair_weight(baskets: Baskets, one: tuple[int, int], other: tuple[int, int]) -> float:
    """Return what an item of a basket is for one of the same or a later basket."""
    gap, size = other[0] - one[0], len(set(baskets[other[0]]))
    if one[1] == other[1]:
        return 1 / size / gap if gap else 0.0
    return _rarity(baskets, *one) * _rarity(baskets, *other) / size / max(gap, 1)


def _rarity(baskets: Baskets, place: int, item: int) -> float:
    """Return 1 / k where a basket is the k-th with an item."""
    return 1 / sum(item in basket for basket in baskets[: place + 1])


def _shrunk_by_loops(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    shrunk = np.zeros_like(counts)
    for item in range(N_ITEMS):
        for other in range(N_ITEMS):
            leads, is_led_to = counts[item].sum(), counts[:, other].sum()
            shrunk[item, other] = counts[item, other] / np.sqrt(
                (1 + leads / 120) * (1 + is_led_to / 120)
            )
    return shrunk


@settings(deadline=None, max_examples=30)
@given(some_users)
def test_transitions_equal_plain_loops(users: list[Baskets]) -> None:
    found = transitions([_history(baskets) for baskets in users], N_ITEMS).strengths_NN

    expected = _shrunk_by_loops(_counts_by_loops(users))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-5, atol=1e-7)


@settings(deadline=None, max_examples=30)
@given(some_users, st.randoms(use_true_random=False))
def test_the_order_of_lines_within_a_moment_changes_nothing(
    users: list[Baskets], random: Random
) -> None:
    shuffled = [[random.sample(basket, len(basket)) for basket in baskets] for baskets in users]

    one, other = (
        transitions([_history(baskets) for baskets in each], N_ITEMS).strengths_NN.toarray()
        for each in (users, shuffled)
    )

    np.testing.assert_array_equal(one, other)


@settings(deadline=None, max_examples=30)
@given(some_users)
def test_a_line_that_is_there_twice_counts_once(users: list[Baskets]) -> None:
    twice = [[basket * 2 for basket in baskets] for baskets in users]

    one, other = (
        transitions([_history(baskets) for baskets in each], N_ITEMS).strengths_NN.toarray()
        for each in (users, twice)
    )

    np.testing.assert_array_equal(one, other)


def _counts(*users: Baskets) -> NDArray[np.float32]:
    """Return transitions of few users, nearly as they were before totals shrank them."""
    found: NDArray[np.float32] = transitions(
        [_history(b) for b in users], N_ITEMS
    ).strengths_NN.toarray()
    return found


def test_a_pair_counts_by_the_inverse_of_its_gap_up_to_five_moments() -> None:
    found = _counts([[0], [1], [1], [2], [1], [3], [4]])

    # One and the same row: whatever shrinks it does so by about the same.
    assert found[0, 2] / found[0, 3] == pytest.approx((1 / 3) / (1 / 5), rel=0.05)
    assert found[0, 4] == 0


def test_the_way_back_weighs_half() -> None:
    found = _counts([[0], [1]])

    assert found[1, 0] / found[0, 1] == pytest.approx(0.5, rel=0.01)


def test_a_large_basket_does_not_outvote_a_small_one() -> None:
    found = _counts([[0], [1]], [[0], [2, 3, 4, 5]])

    assert found[0, 2:].sum() == pytest.approx(found[0, 1], rel=0.01)


def test_the_diagonal_holds_items_that_are_met_again_later_alone() -> None:
    found = _counts([[0, 0, 1]], [[2], [2]])

    assert found.diagonal()[[0, 1]].tolist() == [0, 0]
    assert found[2, 2] > 0


def test_nothing_leads_from_one_user_to_the_next() -> None:
    assert not _counts([[0]], [[1]], [[2]]).any()


def test_items_that_everybody_meets_are_shrunk() -> None:
    popular = [[[0], [1]]] * 240
    found = _counts(*popular, [[2], [3]])

    # 240 forward and 120 backward: both totals are 240 of the row and 240 of the column.
    assert found[0, 1] == pytest.approx(240 / (1 + 240 / 120), rel=1e-5)
    assert found[2, 3] == pytest.approx(1 / (1 + 1 / 120), rel=1e-5)


@pytest.mark.parametrize(
    "histories",
    [[], [History.one_by_one([])], [History.one_by_one([2])], [History.one_by_one([])] * 3],
    ids=["nobody", "an empty history", "one event", "empty histories"],
)
def test_where_nothing_was_met_nothing_leads_anywhere(histories: list[History]) -> None:
    found = transitions(histories, N_ITEMS).strengths_NN

    assert found.shape == (N_ITEMS, N_ITEMS)
    assert not found.toarray().any()


def test_an_empty_history_changes_nothing() -> None:
    full = [_history(b) for b in ([[0, 1], [2]], [[3], [0]])]
    empty = History.one_by_one([])

    with_empty = transitions([empty, full[0], empty, full[1], empty], N_ITEMS).strengths_NN

    np.testing.assert_array_equal(
        with_empty.toarray(), transitions(full, N_ITEMS).strengths_NN.toarray()
    )


@pytest.fixture
def histories() -> list[History]:
    rng = np.random.default_rng(0)
    return [
        History.at(rng.integers(0, CATALOGUE - 1, 12), np.sort(rng.integers(0, 6, 12)))
        for _ in range(40)
    ]


def test_scores_are_those_of_the_blends_where_texts_say_nothing(histories: list[History]) -> None:
    rules = Rules(torch.zeros(CATALOGUE, 4), histories)
    strengths, candidates = rules.transitions.strengths_NN, np.array([3, 3, 29, 7])

    for history in histories[:5]:
        scores = transition_scores(strengths, history, candidates)

        assert scores.dtype == np.float32
        for column, name in enumerate(DECAYS):
            (expected,) = rules.blends[name]([history])
            np.testing.assert_allclose(scores[:, column], expected[candidates], rtol=1e-5)


def test_columns_are_in_the_order_of_the_decays() -> None:
    strengths = sp.csr_array(np.array([[0, 0, 1.0], [0, 0, 0], [0, 0, 0]], np.float32))

    scores = transition_scores(strengths, History.one_by_one([0, 1, 1]), np.array([2, 0]))

    np.testing.assert_allclose(scores, [[decay**2 for decay in DECAYS.values()], [0, 0]])


def test_a_user_without_history_has_zeros(histories: list[History]) -> None:
    strengths = transitions(histories, CATALOGUE).strengths_NN

    scores = transition_scores(strengths, History.one_by_one([]), np.array([1, 2, 3]))

    assert scores.tolist() == [[0, 0]] * 3


def test_no_candidate_has_no_row(histories: list[History]) -> None:
    strengths = transitions(histories, CATALOGUE).strengths_NN

    assert transition_scores(strengths, histories[0], np.array([], np.int64)).shape == (0, 2)
