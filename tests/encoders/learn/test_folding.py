"""Folding in: later events against transitions counted over everything."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from encoders.learn.behaviour import behaviour
from encoders.learn.folding import Basis, added_sums, directions, folded, with_later_events
from encoders.learn.history import History
from encoders.learn.transitions import transitions

N_ITEMS, FACTORS = 9, 6
# Users: items and times, in order.
Events = tuple[list[int], list[int]]

some_users = st.lists(
    st.lists(st.tuples(st.integers(0, N_ITEMS - 1), st.integers(0, 2)), min_size=1, max_size=8).map(
        lambda lines: ([i for i, _ in lines], np.cumsum([step for _, step in lines]).tolist())
    ),
    min_size=1,
    max_size=6,
)


def _counts(users: Sequence[Events]) -> NDArray[np.float64]:
    """Return counts of transitions, without what their totals do to them."""
    found = transitions([History.at(items, times) for items, times in users], N_ITEMS)
    rows, columns = (side.astype(np.float64) for side in (found.row_N, found.column_N))
    return found.strengths_NN.toarray() / rows[:, None] / columns


def _before(users: Sequence[Events], moment: int) -> list[Events]:
    sizes = [int(np.searchsorted(times, moment)) for _, times in users]
    cut = zip(users, sizes, strict=True)
    return [(items[:size], times[:size]) for (items, times), size in cut if size]


def _trained(users: Sequence[Events]) -> tuple[NDArray[np.float32], Basis]:
    histories = [History.at(items, times) for items, times in users]
    return behaviour(histories, transitions(histories, N_ITEMS), factors=FACTORS)


def _sums(
    users: Sequence[Events], towards: NDArray[np.float64], since: int, until_N: NDArray[np.int64]
) -> NDArray[np.int64]:
    sums = np.zeros((N_ITEMS, towards.shape[1]), np.int64)
    for items, times in users:
        rows = np.array(items)
        places, added = added_sums(rows, np.array(times), until_N[rows], towards, since=since)
        np.add.at(sums, rows[places], added)
    return sums


@settings(max_examples=60)
@given(some_users, st.integers(0, 6), st.integers(0, 2**31))
def test_added_sums_are_the_transitions_since_the_training_times_the_directions(
    users: list[Events], since: int, seed: int
) -> None:
    towards = np.random.default_rng(seed).normal(size=(N_ITEMS, 2 * FACTORS))
    always = np.full(N_ITEMS, 10**6)

    sums = _sums(users, towards, since, always) / 2**32

    later = _counts(users) - _counts(_before(users, since))
    expected = np.hstack([later @ towards[:, :FACTORS], later.T @ towards[:, FACTORS:]])
    np.testing.assert_allclose(sums, expected, atol=1e-4)


@settings(max_examples=60)
@given(some_users, st.integers(0, 9))
def test_an_item_is_folded_as_of_its_own_moment(users: list[Events], until: int) -> None:
    towards = np.random.default_rng(0).normal(size=(N_ITEMS, 2 * FACTORS))
    until_N = np.full(N_ITEMS, -1)
    until_N[3] = until

    sums = _sums(users, towards, 0, until_N)

    as_of = _sums(_before(users, until + 1), towards, 0, np.full(N_ITEMS, 10**6))
    np.testing.assert_array_equal(sums[3], as_of[3])
    assert not np.delete(sums, 3, axis=0).any()


@settings(max_examples=30)
@given(some_users)
def test_nothing_new_leaves_the_factors_of_the_training(users: list[Events]) -> None:
    numbers, basis = _trained(users)

    nothing = np.zeros((N_ITEMS, 2 * FACTORS), np.int64)
    again = folded(numbers, basis, nothing, np.zeros(N_ITEMS, np.int64))

    np.testing.assert_allclose(again, numbers, atol=1e-6)


def test_the_trainings_own_events_folded_in_from_nothing_give_its_factors() -> None:
    rng = np.random.default_rng(1)
    users = [(rng.integers(0, N_ITEMS, 12).tolist(), list(range(12))) for _ in range(40)]
    histories = [History.at(*user) for user in users]
    # As many factors as there are directions: nothing is left out.
    numbers, basis = behaviour(histories, transitions(histories, N_ITEMS), factors=N_ITEMS - 1)
    nothing = Basis(basis.singular_F, np.zeros_like(basis.scales_N4))

    sums = _sums(users, directions(numbers, basis), 0, np.full(N_ITEMS, 10**6))
    events_N = np.rint(np.expm1(numbers[:, -1])).astype(np.int64)
    again = folded(np.zeros_like(numbers), nothing, sums, events_N)

    np.testing.assert_allclose(again, numbers, atol=1e-4)


def test_of_all_users_what_came_since_a_moment_is_folded_and_counted() -> None:
    rng = np.random.default_rng(4)
    users = [(rng.integers(0, N_ITEMS, 9).tolist(), list(range(9))) for _ in range(30)]
    numbers, basis = _trained(_before(users, 5))
    arrays = [(np.array(items), np.array(times)) for items, times in users]

    fold = with_later_events(numbers, basis, arrays, since=5)

    sums = _sums(users, directions(numbers, basis), 5, np.full(N_ITEMS, 10**6))
    added_N = np.bincount(np.concatenate([items[5:] for items, _ in arrays]), minlength=N_ITEMS)
    np.testing.assert_array_equal(fold, folded(numbers, basis, sums, added_N))
    everything = np.bincount(np.concatenate([items for items, _ in arrays]), minlength=N_ITEMS)
    np.testing.assert_allclose(np.expm1(fold[:, -1]), everything, rtol=1e-5)
    nothing = with_later_events(numbers, basis, [*arrays, (arrays[0][0][:0],) * 2], since=9)
    np.testing.assert_allclose(nothing, numbers, atol=1e-6)


def test_a_new_item_gets_factors_like_those_of_one_in_its_place() -> None:
    rng = np.random.default_rng(2)
    users = []
    for _ in range(300):
        group = int(rng.integers(0, 2)) * 4
        users.append(((rng.integers(0, 4, 6) + group).tolist(), list(range(6))))
    numbers, basis = _trained(users)
    towards = directions(numbers, basis)
    later: list[Events] = [([0, 8, 1], [10, 11, 12]), ([2, 3, 8], [10, 11, 12])]
    until_N = np.full(N_ITEMS, -1)
    until_N[8] = 99

    sums = _sums(later, towards, 10, until_N)
    fold = folded(numbers[8:], basis.of(np.array([8])), sums[8:], np.array([2]))[0]

    assert not numbers[8].any()
    assert fold[-1] == pytest.approx(np.log(3))
    for side in (slice(0, FACTORS), slice(FACTORS, 2 * FACTORS)):
        near, far = numbers[:4, side] @ fold[side], numbers[4:8, side] @ fold[side]
        assert near.min() > far.max()


def test_the_order_of_users_changes_no_bit() -> None:
    rng = np.random.default_rng(3)
    users = [(rng.integers(0, N_ITEMS, 9).tolist(), list(range(9))) for _ in range(30)]
    towards = rng.normal(size=(N_ITEMS, 2 * FACTORS))
    always = np.full(N_ITEMS, 10**6)

    np.testing.assert_array_equal(
        _sums(users, towards, 2, always), _sums(users[::-1], towards, 2, always)
    )
