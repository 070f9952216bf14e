"""Rules on catalogues of a few items, whose rankings can be worked out by hand."""

import numpy as np
import pytest
import torch

from encoders.learn.rules import (
    blend,
    log_transitions,
    nearest_text,
    own_items_again,
    popularity,
    rules,
)


def ranked(scores: np.ndarray) -> list[int]:
    return np.argsort(-scores, kind="stable").tolist()


def test_popularity_counts_users_and_not_events() -> None:
    ranker = popularity([np.array([2, 2, 2]), np.array([1]), np.array([1, 0])], 3)

    assert ranked(ranker([np.array([0])])[0])[0] == 1


def test_own_items_come_first_the_most_frequent_before_the_others() -> None:
    sequences = [np.array([3]), np.array([3]), np.array([2])]

    scores = own_items_again(popularity(sequences, 4))([np.array([1, 0, 1])])[0]

    assert ranked(scores) == [1, 0, 3, 2]


def test_nearest_text_compares_with_the_last_item() -> None:
    white = torch.nn.functional.normalize(torch.tensor([[1.0, 0], [0, 1], [0.9, 0.1]]), dim=1)

    assert ranked(nearest_text(white.numpy())([np.array([1, 0])])[0]) == [0, 2, 1]


def test_transitions_weigh_pairs_by_their_distance_and_the_way_back_by_half() -> None:
    transitions = log_transitions([np.array([0, 1, 2]), np.array([0, 1])], 3).toarray()

    forward = np.zeros((3, 3))
    forward[0, 1], forward[1, 2], forward[0, 2] = np.log1p([2, 1, 1 / 2])
    np.testing.assert_allclose(transitions, forward + 0.5 * forward.T, rtol=1e-6)


def test_no_transition_leads_from_one_user_to_the_next_or_from_an_item_to_itself() -> None:
    transitions = log_transitions([np.array([0, 0]), np.array([1]), np.array([2])], 3)

    assert not transitions.toarray().any()


def test_a_blend_adds_transitions_to_the_likeness_of_texts() -> None:
    transitions = log_transitions([np.array([0, 1]), np.array([0, 1]), np.array([0, 2])], 4)

    (scores,) = blend(transitions, np.eye(4, dtype=np.float32), decay=0.5)([np.array([3, 0])])

    np.testing.assert_allclose(scores, [2.0, np.log(3), np.log(2), 0.5 * 2], rtol=1e-6)


def test_a_long_history_counts_where_the_blend_looks_far_back() -> None:
    sequences = [np.array([0, 4]), np.array([1, 5])] * 3
    history = np.array([0] * 6 + [1])

    found = rules(torch.eye(6), sequences)

    near, far = (found[name]([history])[0] for name in ("neighbour_blend", "history_blend"))
    assert near[5] > near[4]
    assert far[4] > far[5]


@pytest.mark.parametrize("sequences", [[], [np.array([1])]], ids=["nobody", "one event"])
def test_rules_know_what_to_say_before_anything_is_known(sequences: list) -> None:
    for name, ranker in rules(torch.eye(3), sequences).items():
        (scores,) = ranker([np.array([2])])
        assert np.isfinite(scores).all(), name
