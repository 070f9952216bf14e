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
    # The same 2,000 cases, each alone or in twenty groups that are all ahead or all behind.
    sign = np.tile([1.0, 0.0], 10)[None]
    whole = difference(
        Scores(100 * sign, np.full((1, 20), 100.0)),
        Scores(100 * (1 - sign), np.full((1, 20), 100.0)),
    )
    apart = difference(
        _users(list(np.repeat(sign[0], 100))), _users(list(np.repeat(1 - sign[0], 100)))
    )

    assert whole.mean == apart.mean == 0
    assert whole.high - whole.low > 5 * (apart.high - apart.low)
    assert not whole.is_clear


@pytest.mark.parametrize(("ahead", "is_clear"), [(0.0, False), (0.5, True), (-0.5, True)])
def test_a_difference_is_clear_where_every_draw_agrees(ahead: float, is_clear: bool) -> None:
    theirs = list(np.linspace(0, 1, 50))

    found = difference(_users([score + ahead for score in theirs]), _users(theirs))

    assert found.mean == pytest.approx(ahead)
    assert found.is_clear == is_clear


def test_of_a_few_groups_nothing_is_known() -> None:
    found = difference(_users([1.0] * 19), _users([0.0] * 19))

    assert found.mean == 1
    assert np.isnan(found.low)
    assert not found.is_clear


def test_scores_of_other_cases_are_refused() -> None:
    with pytest.raises(ValueError, match="same cases"):
        difference(_users([1.0, 0]), _users([1.0]))
