"""Training on a small world whose answer is known: users stay within a taste."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoders.checkpoint import write_checkpoint
from encoders.learn import training
from encoders.learn.towers import TowerConfig
from encoders.learn.training import TooFewSequences, train
from encoders.learn.training_run import TrainingRun
from encoders.settings import LearnConfig

pytestmark = pytest.mark.heavy

SIZES = TowerConfig(
    content_width=16, whitened_width=16, dim=8, width=16, layers=1, heads=2, max_history=6
)
CONFIG = LearnConfig(epochs=3, batch_size=16, max_target=4, sampled_positions=3, patience=9)

World = tuple[NDArray[np.float32], list[NDArray[np.int64]]]


@pytest.fixture
def world() -> World:
    """Contents of 40 items in four tastes, and 60 users who each keep to one."""
    rng = np.random.default_rng(0)
    tastes = rng.integers(0, 4, 40)
    contents = rng.normal(size=(4, 16))[tastes] * 0.7 + rng.normal(size=(40, 16))
    sequences = [
        rng.choice(np.flatnonzero(tastes == user % 4), size=rng.integers(1, 9))
        for user in range(60)
    ]
    return contents.astype(np.float32), sequences


def test_training_lowers_the_loss_of_the_users_watched(world: World) -> None:
    trained = train(*world, SIZES, CONFIG)

    losses = [row["validation_loss"] for row in trained.curve]
    assert len(losses) == 4
    assert min(losses) < 0.9 * losses[0]


def test_the_epoch_that_ranks_best_comes_out_whatever_its_loss(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures, losses = iter([0.2, 0.3, 0.3, 0.1]), iter([4.0, 3.0, 2.0, 1.0])
    monkeypatch.setattr(TrainingRun, "ranking_quality", lambda _: next(figures))
    monkeypatch.setattr(TrainingRun, "validation_loss", lambda _: next(losses))

    trained = train(*world, SIZES, CONFIG)

    assert trained.best_epoch == 1  # the earliest of equals
    monkeypatch.undo()
    one_epoch = _run(world)
    one_epoch.one_epoch(1)
    assert _weights(trained.towers) == _weights(one_epoch.towers)


def test_untrained_towers_come_out_where_training_makes_the_ranking_worse(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([0.4, 0.3, 0.4, 0.1])
    monkeypatch.setattr(TrainingRun, "ranking_quality", lambda _: next(figures))

    trained = train(*world, SIZES, CONFIG)

    assert trained.best_epoch == 0
    assert _weights(trained.towers) == _weights(_run(world).towers)
    assert _weights(trained.towers) == _weights(trained.untrained)


def test_what_is_watched_is_what_the_best_epoch_the_untrained_towers_and_rules_reach(
    world: World,
) -> None:
    trained = train(*world, SIZES, CONFIG)

    curve = [row["ndcg@10"] for row in trained.curve]
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


def test_of_the_users_watched_the_history_ends_at_the_cut_and_the_targets_begin(
    world: World,
) -> None:
    run = _run(world)

    for sequence, cut, case in zip(run.watched, run.cuts, run.cases, strict=True):
        assert case.history.tolist() == sequence[:cut].tolist()
        assert case.targets.tolist() == sequence[cut : cut + CONFIG.max_target].tolist()
    assert min(run.cuts) >= 1


def test_no_more_users_are_watched_than_can_be_ranked_for(world: World) -> None:
    few = train(*world, SIZES, replace(CONFIG, validation_share=0.5, max_watched=3))

    assert few.watched["learn"]["users_unmasked"] == 3


def test_users_who_only_repeat_show_no_merit_so_untrained_towers_come_out(world: World) -> None:
    contents, _ = world
    repeats = [np.full(5, user) for user in range(20)]

    trained = train(contents, repeats, SIZES, CONFIG)

    assert [row["ndcg@10"] for row in trained.curve] == [0] * 4
    assert trained.best_epoch == 0


def test_a_checkpoint_from_before_the_ranking_was_watched_is_not_used(
    world: World, tmp_path: Path
) -> None:
    contents, sequences = world
    checkpoint = str(tmp_path / "learn.safetensors")
    settings = {name: value for name, value in asdict(CONFIG).items() if name != "max_watched"}
    digest = hashlib.sha256(json.dumps([asdict(SIZES), settings], sort_keys=True).encode())
    digest.update(contents.tobytes())
    for sequence in sequences:
        digest.update(sequence.tobytes() + b"|")
    old = _run(world).checkpoint(digest.hexdigest())
    curve = [{"epoch": 0, "validation_loss": 3.0}]
    write_checkpoint(checkpoint, replace(old, state={"curve": curve}))

    trained = train(*world, SIZES, CONFIG, checkpoint=checkpoint)

    assert trained.curve == train(*world, SIZES, CONFIG).curve


def test_the_same_seed_gives_the_same_weights_and_another_does_not(world: World) -> None:
    one, two = train(*world, SIZES, CONFIG), train(*world, SIZES, CONFIG)
    other = train(*world, SIZES, LearnConfig(**{**vars(CONFIG), "seed": 1}))

    assert _weights(one.towers) == _weights(two.towers)
    assert _weights(one.towers) != _weights(other.towers)


def test_a_training_resumed_after_a_kill_ends_as_an_uninterrupted_one(
    world: World, tmp_path: Path
) -> None:
    checkpoint = str(tmp_path / "deep" / "learn.safetensors")
    uninterrupted = train(*world, SIZES, CONFIG)

    with pytest.raises(KeyboardInterrupt):
        train(*world, SIZES, CONFIG, checkpoint=checkpoint, progress=_killed_after(2))
    assert Path(checkpoint).is_file()
    resumed_epochs: list[int] = []
    resumed = train(
        *world,
        SIZES,
        CONFIG,
        checkpoint=checkpoint,
        progress=lambda done, _: resumed_epochs.append(done),
    )

    assert resumed_epochs[0] == 3
    assert resumed.curve == uninterrupted.curve
    assert _weights(resumed.towers) == _weights(uninterrupted.towers)
    assert not Path(checkpoint).exists()


@pytest.mark.parametrize("damage", [b"", b"not safetensors", b"\xff" * 64])
def test_a_damaged_checkpoint_is_not_used(world: World, tmp_path: Path, damage: bytes) -> None:
    checkpoint = tmp_path / "learn.safetensors"
    checkpoint.write_bytes(damage)

    trained = train(*world, SIZES, CONFIG, checkpoint=str(checkpoint))

    assert trained.curve == train(*world, SIZES, CONFIG).curve


def test_a_checkpoint_of_other_data_is_not_used(world: World, tmp_path: Path) -> None:
    contents, sequences = world
    checkpoint = str(tmp_path / "learn.safetensors")
    with pytest.raises(KeyboardInterrupt):
        train(contents, sequences, SIZES, CONFIG, checkpoint=checkpoint, progress=_killed_after(1))

    trained = train(contents, sequences[:-1], SIZES, CONFIG, checkpoint=checkpoint)

    assert trained.curve == train(contents, sequences[:-1], SIZES, CONFIG).curve


def test_training_stops_when_the_ranking_has_not_become_better(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([0.2, 0.3, 0.25, 0.3, 0.9])
    monkeypatch.setattr(TrainingRun, "ranking_quality", lambda _: next(figures))

    trained = train(*world, SIZES, LearnConfig(**{**vars(CONFIG), "epochs": 30, "patience": 2}))

    assert [row["epoch"] for row in trained.curve] == [0, 1, 2, 3]
    assert trained.best_epoch == 1


@pytest.mark.parametrize("variant", ["shared_single", "content"])
def test_every_item_tower_can_be_trained(world: World, variant: str) -> None:
    sizes = TowerConfig(**{**vars(SIZES), "item_tower": variant, "positions": True})

    trained = train(*world, sizes, LearnConfig(**{**vars(CONFIG), "epochs": 1}))

    assert np.isfinite(trained.curve[1]["train_loss"])
    assert trained.towers.config.item_tower == variant


def test_too_few_users_are_refused(world: World) -> None:
    contents, _ = world
    sequences = [np.array([1]), np.array([1, 2]), np.array([3, 4]), np.array([2, 2])]

    with pytest.raises(TooFewSequences, match="only 3 of 4"):
        train(contents, sequences, SIZES, CONFIG)


def _run(world: World) -> TrainingRun:
    """A training that has not begun."""
    return training._started(*world, SIZES, config=CONFIG, device="auto")


def _killed_after(epoch: int) -> training.Progress:
    def progress(done: int, _: int) -> None:
        if done == epoch:
            raise KeyboardInterrupt

    return progress


def _weights(towers: torch.nn.Module) -> dict[str, list[float]]:
    return {name: value.flatten().tolist() for name, value in towers.state_dict().items()}
