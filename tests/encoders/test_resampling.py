"""The interval against scipy's own on plain means, and on what one can see."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from encoders.resampling import Scores, difference


def _users(scores: list[float]) -> Scores:
    return Scores(np.array([scores]), np.ones((1, len(scores))))


def test_a_figure_is_the_mean_over_parts_of_the_mean_over_cases() -> None:
    scores = Scores(
        np.array([[1.0, 2, 0], [0, 0, 0], [3, 0, 0]]), np.array([[2.0, 2, 0], [0, 0, 0], [3, 1, 1]])
    )

    assert scores.figure == pytest.approx((3 / 4 + 3 / 5) / 2)


def test_the_interval_is_that_of_the_mean_of_the_differences() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = rng.random(300) + 0.02, rng.random(300)

    found = difference(_users(list(ours)), _users(list(theirs)))

    expected = bootstrap((ours - theirs,), np.mean, method="percentile", rng=rng)
    assert found.mean == pytest.approx(np.mean(ours - theirs))
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval), abs=0.005)
    assert difference(_users(list(ours)), _users(list(theirs))) == found


def test_a_group_is_drawn_as_a_whole() -> None:
    # Ten cases in two groups: one group all ahead, the other all behind.
    ours = Scores(np.array([[5.0, 0]]), np.array([[5.0, 5]]))
    theirs = Scores(np.array([[0.0, 5]]), np.array([[5.0, 5]]))

    found = difference(ours, theirs)

    assert (found.mean, found.low, found.high) == (0, -1, 1)
    assert not found.is_clear


@pytest.mark.parametrize(("ahead", "is_clear"), [(0.0, False), (0.5, True), (-0.5, True)])
def test_a_difference_is_clear_where_every_draw_agrees(ahead: float, is_clear: bool) -> None:
    theirs = list(np.linspace(0, 1, 50))

    found = difference(_users([score + ahead for score in theirs]), _users(theirs))

    assert found.mean == pytest.approx(ahead)
    assert found.is_clear == is_clear


def test_of_a_single_group_nothing_is_known() -> None:
    found = difference(_users([1.0]), _users([0.0]))

    assert found.mean == 1
    assert np.isnan(found.low)
    assert not found.is_clear


def test_scores_of_other_cases_are_refused() -> None:
    with pytest.raises(ValueError, match="same cases"):
        difference(_users([1.0, 0]), _users([1.0]))
