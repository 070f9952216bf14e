"""Histories: which moments items have, and what stays when a history is cut."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from encoders.learn.history import History

BASKETS = History.at([7, 8, 8, 3, 9], [40, 40, 55, 90, 90])


def _lines(history: History) -> list[tuple[int, int]]:
    return list(zip(history.items.tolist(), history.moments.tolist(), strict=True))


def test_items_met_one_by_one_have_moments_of_their_own() -> None:
    history = History.one_by_one([5, 5, 2])

    assert _lines(history) == [(5, 0), (5, 1), (2, 2)]
    assert len(history) == 3


def test_items_met_at_one_time_share_a_moment() -> None:
    assert _lines(BASKETS) == [(7, 0), (8, 0), (8, 1), (3, 2), (9, 2)]


def test_moments_have_no_gaps_however_far_times_lie_apart() -> None:
    history = History.at([1, 2, 3], [-(2**60), 0, 2**60])

    assert history.moments.tolist() == [0, 1, 2]


def test_ages_count_moments_back_from_the_newest() -> None:
    assert BASKETS.ages.tolist() == [2, 2, 1, 0, 0]


def test_until_keeps_the_oldest_items_at_their_moments() -> None:
    assert _lines(BASKETS.until(3)) == [(7, 0), (8, 0), (8, 1)]


def test_newest_numbers_the_moments_that_stay_from_zero() -> None:
    assert _lines(BASKETS.newest(3)) == [(8, 0), (3, 1), (9, 1)]


def test_newest_may_begin_within_a_moment() -> None:
    assert _lines(BASKETS.newest(4)) == [(8, 0), (8, 1), (3, 2), (9, 2)]


def test_a_short_history_is_kept_whole() -> None:
    assert _lines(BASKETS.newest(9)) == _lines(BASKETS.until(9)) == _lines(BASKETS)


def test_an_empty_history_stays_empty() -> None:
    for history in (History.one_by_one([]), History.at([], []), BASKETS.until(0)):
        for cut in (history, history.until(2), history.newest(2), BASKETS.newest(0)):
            assert len(cut) == 0
            assert cut.ages.tolist() == []
            assert cut.items.dtype == cut.moments.dtype == np.int64


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 14))
def test_newest_leaves_items_and_ages_of_what_stays_as_they_were(
    steps: list[int], size: int
) -> None:
    history = History.at(range(len(steps)), np.cumsum(steps))

    newest = history.newest(size)

    assert newest.items.tolist() == history.items[-size:].tolist()
    assert newest.ages.tolist() == history.ages[-size:].tolist()
    assert newest.moments[0] == 0
