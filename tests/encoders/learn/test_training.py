"""Training on a small world whose answer is known: users walk along a ring of items."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoders.learn import training
from encoders.learn.evaluation import tower_ranker
from encoders.learn.history import History
from encoders.learn.towers import Towers
from encoders.learn.training import TooFewSequences, Trained, train
from encoders.learn.training_run import TrainingRun
from encoders.settings import LearnConfig

pytestmark = pytest.mark.heavy

N_ITEMS = 40
# The best epoch is the last, so that both runs have three.
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
    watched_from: list[int]

    def train(
        self,
        config: LearnConfig = CONFIG,
        *,
        checkpoint: Path | None = None,
        progress: training.Progress | None = None,
    ) -> Trained:
        return train(
            self.contents,
            self.histories,
            config,
            watched_from=self.watched_from,
            checkpoint=str(checkpoint) if checkpoint else None,
            device="cpu",
            progress=progress,
        )


@pytest.fixture(scope="module")
def world() -> World:
    """Contents that say nothing, and 60 users whose last two steps are watched."""
    rng = np.random.default_rng(0)
    contents = rng.normal(size=(N_ITEMS, 16)).astype(np.float32)
    histories = [
        History.one_by_one((rng.integers(N_ITEMS) + np.arange(rng.integers(6, 10))) % N_ITEMS)
        for _ in range(60)
    ]
    return World(contents, histories, [len(history) - 2 for history in histories])


@pytest.fixture(scope="module")
def trained(world: World, one_thread: None) -> Trained:
    """A training that nothing interrupted."""
    return world.train()


def _weights(towers: Towers) -> dict[str, list[float]]:
    return {name: value.flatten().tolist() for name, value in towers.state_dict().items()}


def test_trained_towers_learn_the_ring(trained: Trained) -> None:
    figures = {name: of_users["ndcg@10"] for name, of_users in trained.watched.items()}

    assert figures["learn"] > 0.9
    assert figures["learn"] > 2 * max(figures["popularity"], figures["untrained"])
    losses = [row["loss"] for row in trained.curve[1:]]
    assert losses == sorted(losses, reverse=True)


def test_watched_are_the_best_epoch_the_untrained_towers_and_the_rules(trained: Trained) -> None:
    curve = [row["ndcg@10"] for row in trained.curve]

    assert [row["epoch"] for row in trained.curve] == [0, 1, 2, 3]
    assert "loss" not in trained.curve[0]
    assert trained.watched["untrained"]["ndcg@10"] == pytest.approx(curve[0])
    assert trained.watched["learn"]["ndcg@10"] == pytest.approx(max(curve))
    assert set(trained.watched) == {
        "learn",
        "untrained",
        "popularity",
        "own_items_again",
        "nearest_text",
        "neighbour_blend",
        "history_blend",
    }
    assert {of_users["users"] for of_users in trained.watched.values()} == {60}


def test_behaviour_that_comes_out_is_of_all_events(world: World, trained: Trained) -> None:
    events = np.bincount(np.concatenate([h.items for h in world.histories]), minlength=N_ITEMS)

    assert trained.behaviour_NF.shape == (N_ITEMS, 2 * CONFIG.factors + 1)
    np.testing.assert_allclose(trained.behaviour_NF[:, -1], np.log1p(events), rtol=1e-6)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    world: World, trained: Trained
) -> None:
    again, other = world.train(), world.train(replace(CONFIG, seed=1))

    assert _weights(again.towers) == _weights(trained.towers)
    assert again.curve == trained.curve
    assert _weights(other.towers) != _weights(trained.towers)


def test_the_number_of_threads_is_what_it_was_before(world: World) -> None:
    before = torch.get_num_threads()

    world.train(replace(CONFIG, epochs=0, threads=before + 1))

    assert torch.get_num_threads() == before


class Killed(Exception):
    """The machine is gone."""


def _killed_after(epoch: int) -> training.Progress:
    def progress(done: int, _: int) -> None:
        if done == epoch:
            raise Killed

    return progress


@pytest.mark.parametrize("epoch", range(1, 7))
def test_a_training_killed_after_an_epoch_of_either_run_ends_as_an_uninterrupted_one(
    world: World, trained: Trained, tmp_path: Path, epoch: int
) -> None:
    checkpoint, resumed_at = tmp_path / "deep" / "learn.safetensors", []
    with pytest.raises(Killed):
        world.train(checkpoint=checkpoint, progress=_killed_after(epoch))

    resumed = world.train(checkpoint=checkpoint, progress=lambda done, _: resumed_at.append(done))

    assert resumed_at == [*range(epoch + 1, 7), 6]
    assert _weights(resumed.towers) == _weights(trained.towers)
    assert _weights(resumed.untrained) == _weights(trained.untrained)
    assert (resumed.curve, resumed.watched) == (trained.curve, trained.watched)
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_training_killed_again_and_again_within_epochs_ends_as_an_uninterrupted_one(
    world: World, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_epoch, tries = TrainingRun.one_epoch, 0

    def killed_at_every_other_try(run: TrainingRun, epoch: int) -> float:
        nonlocal tries
        tries += 1
        loss = whole_epoch(run, epoch)
        if tries % 2:
            raise Killed
        return loss

    monkeypatch.setattr(TrainingRun, "one_epoch", killed_at_every_other_try)
    for _ in range(6):
        with pytest.raises(Killed):
            world.train(checkpoint=tmp_path / "learn")
    resumed = world.train(checkpoint=tmp_path / "learn")

    assert tries == 12
    assert _weights(resumed.towers) == _weights(trained.towers)
    assert resumed.curve == trained.curve


def test_a_resumed_training_remembers_an_epoch_that_ranked_better_than_the_last(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _figures(monkeypatch, [0.2, 0.5, 0.3, 0.1])
    uninterrupted = world.train()
    _figures(monkeypatch, [0.2, 0.5, 0.3])
    _interrupted(world, tmp_path / "learn")
    _figures(monkeypatch, [0.1])

    resumed = world.train(checkpoint=tmp_path / "learn")

    assert resumed.best_epoch == 1
    assert resumed.watched == uninterrupted.watched
    assert _weights(resumed.towers) == _weights(uninterrupted.towers)


def _interrupted(world: World, checkpoint: Path) -> None:
    with pytest.raises(Killed):
        world.train(checkpoint=checkpoint, progress=_killed_after(2))


def _first_epoch(world: World, config: LearnConfig, checkpoint: Path) -> int:
    """Return the epoch that a training begins with, and kill it."""
    first: list[int] = []

    def progress(done: int, _: int) -> None:
        first.append(done)
        raise Killed

    with pytest.raises(Killed):
        world.train(config, checkpoint=checkpoint, progress=progress)
    return first[0]


def test_another_configuration_or_other_data_do_not_resume(world: World, tmp_path: Path) -> None:
    checkpoint = tmp_path / "learn"
    basket = History(world.histories[0].items, world.histories[0].moments // 2)
    others = {
        "config": (world, replace(CONFIG, rule_share=0.5)),
        "contents": (replace(world, contents=world.contents * 2), CONFIG),
        "moments": (replace(world, histories=[basket, *world.histories[1:]]), CONFIG),
        "watched": (replace(world, watched_from=[3, *world.watched_from[1:]]), CONFIG),
    }

    for name, (other, config) in others.items():
        _interrupted(world, checkpoint)
        assert _first_epoch(world, CONFIG, checkpoint) == 3, name
        assert _first_epoch(other, config, checkpoint) == 1, name


@pytest.mark.parametrize("damage", [b"", b"not safetensors", b"\xff" * 64])
def test_a_damaged_checkpoint_is_not_used(world: World, tmp_path: Path, damage: bytes) -> None:
    for run in ("watched", "final"):
        (tmp_path / f"learn.{run}").write_bytes(damage)

    assert _first_epoch(world, CONFIG, tmp_path / "learn") == 1


def test_events_that_are_watched_or_later_teach_the_watched_run_nothing(
    world: World, trained: Trained
) -> None:
    # All walks of the world once more, by users who met nothing before; and the known users meet
    # their own items again, which are no targets.
    walks = [History.one_by_one(np.arange(start, start + 9) % N_ITEMS) for start in range(30)]
    again = [History.one_by_one(np.append(h.items, h.items[:2])) for h in world.histories]

    leaky = World(world.contents, [*again, *walks], [*world.watched_from, *[0] * 30]).train()

    assert leaky.curve == trained.curve
    for name, figures in trained.watched.items():
        assert leaky.watched[name]["ndcg@10"] == figures["ndcg@10"]
    assert _weights(leaky.towers) != _weights(trained.towers)


def _figures(monkeypatch: pytest.MonkeyPatch, figures: Sequence[float]) -> None:
    given = iter(figures)
    monkeypatch.setattr(training, "_figure", lambda _, __: next(given))


def test_the_towers_learn_from_everything_for_as_many_epochs_as_ranked_best(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _figures(monkeypatch, [0.2, 0.3, 0.3, 0.1])

    trained = world.train()

    assert trained.best_epoch == 1  # the earliest of equals
    content = torch.from_numpy(world.contents)
    runs = training._Runs(content, trained.fitted.whitening, CONFIG, "cpu")
    run = runs.started(world.histories, runs.rules(world.histories), "neighbour_blend")
    run.one_epoch(1)
    assert _weights(trained.towers) == _weights(run.towers)


def test_untrained_towers_come_out_where_training_makes_the_ranking_worse(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _figures(monkeypatch, [0.4, 0.3, 0.4, 0.1])

    trained = world.train()

    assert trained.best_epoch == 0
    assert _weights(trained.towers) == _weights(trained.untrained)


def test_training_stops_when_the_ranking_has_not_become_better(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _figures(monkeypatch, [0.2, 0.3, 0.25, 0.3, 0.9])

    trained = world.train(replace(CONFIG, epochs=30, patience=2))

    assert [row["epoch"] for row in trained.curve] == [0, 1, 2, 3]
    assert trained.best_epoch == 1


def test_without_an_epoch_untrained_towers_come_out(world: World) -> None:
    trained = world.train(replace(CONFIG, epochs=0))

    assert len(trained.curve) == 1
    assert _weights(trained.towers) == _weights(trained.untrained)
    assert trained.watched["learn"] == trained.watched["untrained"]


def test_no_more_users_are_watched_than_can_be_ranked_for(world: World) -> None:
    few = world.train(replace(CONFIG, epochs=0, max_watched=3))

    assert few.watched["learn"]["users"] == 3


def test_users_without_items_on_both_sides_are_not_watched(world: World) -> None:
    watched_from = [0, len(world.histories[1]), *world.watched_from[2:]]

    trained = replace(world, watched_from=watched_from).train(replace(CONFIG, epochs=0))

    assert trained.watched["learn"]["users_unmasked"] == 58


@pytest.mark.parametrize("before", [0, 1, 99], ids=["nothing", "one moment each", "everything"])
def test_where_nothing_can_be_watched_untrained_towers_come_out(world: World, before: int) -> None:
    watched_from = [min(before, len(history)) for history in world.histories]
    # Who only repeats meets nothing new.
    repeats = [History.one_by_one([int(h.items[0])] * len(h)) for h in world.histories]

    trained = World(world.contents, repeats, watched_from).train(replace(CONFIG, epochs=1))

    assert [row["ndcg@10"] for row in trained.curve] == [0, 0]
    assert trained.best_epoch == 0


def test_users_of_one_moment_are_no_trouble(world: World) -> None:
    lone = [History.at([1, 2, 3], [7, 7, 7]), History.one_by_one([]), History.one_by_one([4])]

    trained = World(
        world.contents, [*lone, *world.histories], [3, 0, 1, *world.watched_from]
    ).train()

    assert trained.watched["learn"]["ndcg@10"] > 0.9


def test_towers_learn_from_baskets(world: World) -> None:
    """Two steps of the ring at each moment; the next two are met together."""
    pairs = [History(np.arange(s, s + 8) % N_ITEMS, np.arange(8) // 2) for s in range(0, 80, 2)]

    # Contents say nothing, so eight events an item have to say all.
    config = replace(CONFIG, factor_shrinkage=0.0)
    trained = World(world.contents, pairs, [6] * 40).train(config)

    assert trained.watched["learn"]["ndcg@10"] > 0.8
    assert trained.watched["learn"]["ndcg@10"] > 2 * trained.watched["popularity"]["ndcg@10"]


def test_items_that_nobody_met_are_ranked_by_their_text() -> None:
    """Users keep to one of four tastes, which texts tell; the last 20 of 80 are new."""
    rng = np.random.default_rng(0)
    taste_N, taste_B = np.arange(80) % 4, np.arange(80) % 4
    contents = rng.normal(size=(4, 16))[taste_N] + 0.5 * rng.normal(size=(80, 16))
    histories = [
        History.one_by_one(rng.permutation(np.flatnonzero(taste_N[:60] == taste))[:8])
        for taste in taste_B
    ]

    trained = World(contents.astype(np.float32), histories, [6] * 80).train()

    inputs = trained.towers.inputs(
        torch.from_numpy(contents.astype(np.float32)), torch.from_numpy(trained.behaviour_NF)
    ).detach()
    new = tower_ranker(trained.towers, inputs)(histories)[:, 60:]
    best_five = taste_N[60:][np.argsort(-new, axis=1)[:, :5]]
    assert (best_five == taste_B[:, None]).mean() > 0.75  # 0.25 by chance
    assert not trained.behaviour_NF[60:].any()


def test_the_ridge_is_chosen_by_rules_before_training(world: World) -> None:
    several = replace(CONFIG, epochs=0, ridge=(0.001, 10.0))

    trained = world.train(several)

    assert [row["ridge"] for row in trained.fitted.tried] == [0.001, 10.0]
    best = max(trained.fitted.tried, key=lambda row: row["ndcg@10"])
    assert trained.fitted.ridge == best["ridge"]
    fixed = world.train(replace(several, ridge=trained.fitted.ridge))
    assert _weights(fixed.towers) == _weights(trained.towers)
    assert fixed.fitted.tried == []
    rules = ("nearest_text", "neighbour_blend", "history_blend")
    assert max(fixed.watched[rule]["ndcg@10"] for rule in rules) == pytest.approx(best["ndcg@10"])


def test_too_few_users_are_refused(world: World) -> None:
    few = [*world.histories[:3], History.at([1, 2], [5, 5]), History.one_by_one([])]

    with pytest.raises(TooFewSequences, match=r"only 3 of 5 did\. Train later"):
        World(world.contents, few, [0] * 5).train()
