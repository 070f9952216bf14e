"""SASRec of a few numbers on users who walk in circles."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from encoders.learn.baselines.sasrec import SasRec, SasRecConfig, sasrec_ranker
from encoders.learn.baselines.sasrec_training import trained_sasrec
from encoders.learn.evaluation import user_scores
from encoders.learn.history import Case, History

TINY = SasRecConfig(
    dim=16, heads=2, dropout=0.0, max_history=6, candidates=8, batch_size=16, learning_rate=1e-2
)
N_ITEMS = 12


@pytest.fixture
def network() -> SasRec:
    torch.manual_seed(0)
    return SasRec(N_ITEMS, TINY).eval()


def _circles(count: int) -> list[History]:
    rng = np.random.default_rng(0)
    return [
        History.one_by_one((rng.integers(N_ITEMS) + np.arange(rng.integers(3, 8))) % N_ITEMS)
        for _ in range(count)
    ]


def test_a_state_depends_on_nothing_after_its_position(network: SasRec) -> None:
    with torch.inference_mode():
        short, long = network(torch.tensor([[3, 1, 4]])), network(torch.tensor([[3, 1, 4, 1, 5]]))

    torch.testing.assert_close(short[0], long[0, :3])


def test_scores_do_not_depend_on_who_is_ranked_beside(network: SasRec) -> None:
    users = [History.one_by_one(items) for items in ([1], [2, 3, 4, 5], [6, 7])]

    together = sasrec_ranker(network)(users)

    assert together.shape == (3, N_ITEMS)
    for user, scores in zip(users, together, strict=True):
        np.testing.assert_allclose(sasrec_ranker(network)([user])[0], scores, atol=1e-5)


def test_only_the_newest_items_are_read(network: SasRec) -> None:
    newest = [5, 4, 3, 2, 1, 0]
    long, cut = History.one_by_one([9, 9, *newest]), History.one_by_one(newest)

    np.testing.assert_array_equal(sasrec_ranker(network)([long]), sasrec_ranker(network)([cut]))


def test_the_next_item_of_a_circle_is_learned() -> None:
    histories = _circles(120)
    config = replace(TINY, epochs=12)

    trained = trained_sasrec(histories, [len(h) - 1 for h in histories], N_ITEMS, config)

    cases = [Case(History.one_by_one([n, n + 1]), np.array([n + 2])) for n in range(N_ITEMS - 2)]
    assert trained.best_epoch <= len(trained.curve) <= 12
    assert max(trained.curve) > 0.9
    assert user_scores(sasrec_ranker(trained.network), cases, k=1)["recall@1"].mean() > 0.9


def test_training_is_repeatable_and_leaves_the_random_state_alone() -> None:
    histories = _circles(40)
    config = replace(TINY, epochs=2, dropout=0.2)
    torch.manual_seed(7)
    before = torch.get_rng_state()

    first, second = (trained_sasrec(histories, [2] * 40, N_ITEMS, config) for _ in range(2))

    assert torch.equal(before, torch.get_rng_state())
    assert first.curve == second.curve
    for one, other in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_users_of_one_item_or_none_teach_nothing_and_break_nothing() -> None:
    histories = [History.one_by_one(items) for items in ([], [1], [2, 3], [3, 4])]

    trained = trained_sasrec(histories, [0, 0, 1, 1], N_ITEMS, replace(TINY, epochs=1))

    assert len(trained.curve) == 1
