"""Transition scores are the blends of the rules without their text."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from encoders.learn.history import History
from encoders.learn.rules import Rules
from encoders.learn.transitions import transitions
from encoders.ranking.transition_scores import DECAYS, transition_scores

N_ITEMS = 30


@pytest.fixture
def histories() -> list[History]:
    rng = np.random.default_rng(0)
    return [
        History.at(rng.integers(0, N_ITEMS - 1, 12), np.sort(rng.integers(0, 6, 12)))
        for _ in range(40)
    ]


def test_scores_are_those_of_the_blends_where_texts_say_nothing(histories: list[History]) -> None:
    rules = Rules(torch.zeros(N_ITEMS, 4), histories)
    strengths, candidates = rules.transitions.strengths_NN, np.array([3, 3, 29, 7])

    for history in histories[:5]:
        scores = transition_scores(strengths, history, candidates)

        assert scores.dtype == np.float32
        for column, name in enumerate(("neighbour_blend", "history_blend")):
            (expected,) = rules.blends[name]([history])
            np.testing.assert_allclose(scores[:, column], expected[candidates], rtol=1e-5)


def test_columns_are_in_the_order_of_the_decays() -> None:
    strengths = sp.csr_array(np.array([[0, 0, 1.0], [0, 0, 0], [0, 0, 0]], np.float32))

    scores = transition_scores(strengths, History.one_by_one([0, 1, 1]), np.array([2, 0]))

    np.testing.assert_allclose(scores, [[decay**2 for decay in DECAYS], [0, 0]])


def test_a_user_without_history_has_zeros(histories: list[History]) -> None:
    strengths = transitions(histories, N_ITEMS).strengths_NN

    scores = transition_scores(strengths, History.one_by_one([]), np.array([1, 2, 3]))

    assert scores.tolist() == [[0, 0]] * 3


def test_no_candidate_has_no_row(histories: list[History]) -> None:
    strengths = transitions(histories, N_ITEMS).strengths_NN

    assert transition_scores(strengths, histories[0], np.array([], np.int64)).shape == (0, 2)
