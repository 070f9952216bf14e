"""Rules on catalogues of a few items, whose rankings can be worked out by hand."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoders.learn.history import History
from encoders.learn.rules import (
    Blend,
    Rules,
    faded_histories,
    nearest_text,
    own_items_again,
    popularity,
    recent_popularity,
    unit_rows,
)
from encoders.learn.transitions import transitions


def _one_by_one(*sequences: Sequence[int]) -> list[History]:
    return [History.one_by_one(items) for items in sequences]


def _ranked(scores: NDArray[np.float32]) -> list[int]:
    return np.argsort(-scores, kind="stable").tolist()


def test_popularity_counts_users_and_not_events() -> None:
    ranker = popularity(_one_by_one([2, 2, 2], [1], [1, 0]), 3)

    assert ranker(_one_by_one([0], [2])).tolist() == [[1, 2, 1]] * 2


def test_own_items_come_first_the_most_frequent_before_the_others() -> None:
    popular = popularity(_one_by_one([3], [3], [2]), 4)

    scores = own_items_again(popular)(_one_by_one([1, 0, 1], [2]))

    assert [_ranked(row) for row in scores] == [[1, 0, 3, 2], [2, 3, 0, 1]]


def test_nearest_text_compares_with_the_last_item() -> None:
    unit = unit_rows(torch.tensor([[1.0, 0], [0, 1], [0.9, 0.1]]))

    assert _ranked(nearest_text(unit)(_one_by_one([1, 0]))[0]) == [0, 2, 1]


def test_unit_rows_leave_zeros_as_they_are() -> None:
    unit = unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64))

    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit, [[0.6, 0.8], [0, 0]])


def test_histories_fade_by_moment_and_repeats_add_up() -> None:
    users = [History.at([0, 1, 1, 2], [0, 0, 5, 6]), History.one_by_one([3])]

    faded = faded_histories(users, 5, decay=0.5).toarray()

    assert faded.tolist() == [[0.25, 0.75, 1, 0, 0], [0, 0, 0, 1, 0]]


def test_items_of_long_ago_fade_to_nothing() -> None:
    faded = faded_histories([History.one_by_one([0] * 2000 + [1])], 2, decay=0.5).toarray()

    np.testing.assert_allclose(faded, [[1, 1]])


def test_the_blend_adds_transitions_to_the_likeness_of_texts() -> None:
    histories = _one_by_one([0, 1], [0, 1], [0, 2], [3, 1])
    unit = unit_rows(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
    leads = transitions(histories, 4).strengths_NN

    (scores,) = Blend(leads, unit, np.array([2, 2, 1, 1]), decay=0.5)(
        [History.at([3, 2, 0], [0, 1, 1])]
    )

    expected = np.zeros(4)
    for item, weight in ((3, 0.5), (2, 1), (0, 1)):
        for other in range(4):
            text = 2 + 1 / (3 if other < 2 else 2)
            expected[other] += weight * (leads[item, other] + text * unit[item] @ unit[other])
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_scores_among_some_items_are_those_of_all() -> None:
    rng = np.random.default_rng(0)
    histories = [History.one_by_one(rng.integers(0, 30, 6)) for _ in range(20)]
    blend = Rules(torch.randn(30, 4), histories).blends["history_blend"]
    some = np.array([3, 4, 17, 29])

    np.testing.assert_allclose(
        blend.among(histories[:5], some), blend(histories[:5])[:, some], rtol=1e-5, atol=1e-6
    )


def test_the_blends_differ_in_how_far_back_they_look() -> None:
    histories = _one_by_one([0, 1, 2], [2, 0])

    fitted = Rules(torch.eye(3), histories)

    assert list(fitted.by_name) == [
        "popularity",
        "own_items_again",
        "nearest_text",
        "neighbour_blend",
        "history_blend",
    ]
    assert fitted.blends["neighbour_blend"].decay < fitted.blends["history_blend"].decay


@pytest.mark.parametrize("sequences", [[], [[1]], [[]]], ids=["nobody", "one event", "no event"])
def test_rules_rank_before_anything_is_known(sequences: list[list[int]]) -> None:
    for name, ranker in Rules(torch.eye(3), _one_by_one(*sequences)).by_name.items():
        scores = ranker(_one_by_one([2]))
        assert scores.shape == (1, 3), name
        assert np.isfinite(scores).all(), name


def test_what_was_met_of_late_comes_first_and_ties_are_settled_by_all_time() -> None:
    histories = [History.one_by_one(items) for items in ([3, 3, 0], [3, 1], [3, 1], [2])]

    ranker = recent_popularity(histories, [2, 1, 1, 1], 5)

    (scores,) = ranker([History.one_by_one([0])])
    # Of late two users met item 1 and one met item 0; ever, three met 3 and one met 2.
    assert np.argsort(-scores, kind="stable").tolist() == [1, 0, 3, 2, 4]


def test_where_nothing_is_recent_it_is_popularity() -> None:
    histories = [History.one_by_one(items) for items in ([0, 1], [1], [])]

    scores = recent_popularity(histories, [2, 1, 0], 3)([History.one_by_one([2])] * 2)

    assert scores.shape == (2, 3)
    assert np.argsort(-scores, kind="stable").tolist() == [[1, 0, 2]] * 2
