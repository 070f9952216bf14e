"""Bad input of a training: users who say nothing, too much, or what cannot be true.

The world is a ring of items that sixty users walk along; whoever comes on top may not take it away.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoders.learn.batches import n_cuts
from encoders.learn.history import History
from encoders.learn.rules import popularity
from encoders.learn.training import Trained, train
from encoders.settings import LearnConfig

pytestmark = pytest.mark.heavy

N_ITEMS = 40
# The most that a training is given of a user; see MAX_EVENTS of spark_jobs/training/learn_data.py.
MOST = 400
CONFIG = LearnConfig(
    dim=16,
    hidden=16,
    factors=16,
    whitened_width=16,
    max_history=20,
    epochs=3,
    batch_size=32,
    candidates=30,
    histories_per_user=8,
    learning_rate=4e-3,
    patience=9,
)


@dataclass(frozen=True)
class World:
    """What training is given."""

    contents: NDArray[np.float32]
    histories: list[History]

    def train(self, others: Sequence[History] = ()) -> Trained:
        """Train on the users and on others, of whom nothing is watched."""
        return train(
            self.contents,
            [*self.histories, *others],
            CONFIG,
            watched_from=[*(len(h) - 2 for h in self.histories), *map(len, others)],
            device="cpu",
        )


@pytest.fixture(scope="module")
def world() -> World:
    """Contents that say nothing."""
    rng = np.random.default_rng(0)
    contents = rng.normal(size=(N_ITEMS, 16)).astype(np.float32)
    starts, lengths = rng.integers(N_ITEMS, size=60), rng.integers(6, 10, size=60)
    walks = [
        History.one_by_one((start + np.arange(length)) % N_ITEMS)
        for start, length in zip(starts, lengths, strict=True)
    ]
    return World(contents, walks)


@pytest.fixture(scope="module")
def trained(world: World, one_thread: None) -> Trained:
    """A training on good input alone."""
    return world.train()


def _figure(trained: Trained, name: str) -> float:
    return trained.watched[name]["ndcg@10"]


def _users_of_one_event() -> list[History]:
    return [History.one_by_one([item]) for item in range(N_ITEMS)]


def _users_of_unknown_items_alone() -> list[History]:
    """What is left of users whose every SPU has no content."""
    return [History.one_by_one([]) for _ in range(100)]


def _users_of_equal_timestamps() -> list[History]:
    rng = np.random.default_rng(1)
    return [History.at(rng.permutation(N_ITEMS)[:8], [7] * 8) for _ in range(20)]


def _a_bot() -> list[History]:
    """Nearly half of all events, at random."""
    return [History.one_by_one(np.random.default_rng(2).integers(N_ITEMS, size=MOST))]


def _a_bot_of_one_item() -> list[History]:
    return [History.one_by_one([3] * MOST)]


def _a_bot_of_one_basket() -> list[History]:
    return [History.at(np.arange(MOST) % N_ITEMS, [1] * (MOST - 1) + [2])]


@pytest.mark.parametrize(
    "others",
    [
        _users_of_one_event,
        _users_of_unknown_items_alone,
        _users_of_equal_timestamps,
        _a_bot,
        _a_bot_of_one_item,
        _a_bot_of_one_basket,
    ],
)
def test_the_towers_learn_the_ring_whoever_else_there_is(
    world: World, trained: Trained, others: Callable[[], list[History]]
) -> None:
    beside = world.train(others())

    assert all(weight.isfinite().all() for weight in beside.towers.state_dict().values())
    assert _figure(beside, "learn") > 0.85
    rule = "neighbour_blend"
    assert _figure(beside, rule) > 0.9 * _figure(trained, rule)


def test_a_user_of_a_hundred_thousand_events_is_no_trouble(world: World) -> None:
    """No training is given so many, but nothing of it may rest on that."""
    items = np.random.default_rng(3).integers(N_ITEMS, size=100_000)
    heavy = [History.one_by_one(items), History.at(items, np.arange(100_000) // 10)]

    beside = world.train(heavy)

    assert all(weight.isfinite().all() for weight in beside.towers.state_dict().values())
    with torch.inference_mode():
        vectors = beside.towers.users(_inputs(world, beside), heavy)
    assert vectors.norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_no_user_gives_more_cuts_to_an_epoch_than_another_may(world: World) -> None:
    (bot,) = _a_bot()

    cuts = n_cuts([*world.histories, bot], CONFIG.histories_per_user)

    assert cuts - n_cuts(world.histories, CONFIG.histories_per_user) == CONFIG.histories_per_user


def test_popularity_counts_a_bot_once(world: World) -> None:
    ranker = popularity([*world.histories, *_a_bot_of_one_item()], N_ITEMS)

    alone = popularity(world.histories, N_ITEMS)

    assert (ranker(world.histories[:1]) - alone(world.histories[:1])).sum() == 1


def _inputs(world: World, trained: Trained) -> torch.Tensor:
    behaviour = torch.from_numpy(trained.behaviour_NF)
    with torch.inference_mode():
        return trained.towers.inputs(torch.from_numpy(world.contents), behaviour)
