"""What comes out of a training: towers held against untrained ones on users held out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoders.artifacts import load_artifact, save_artifact
from encoders.learn.choice import chosen, summary
from encoders.learn.evaluation import Case, Ranker, tower_ranker
from encoders.learn.preference import tower_artifacts
from encoders.learn.towers import PreferenceTowers, TowerConfig
from encoders.learn.training import Trained

N_ITEMS = 60
CURVE = [{"epoch": 0, "ndcg@10": 0.1}, {"epoch": 1, "ndcg@10": 0.3}]
RULES = {"popularity": 0.2, "nearest_text": 0.5, "neighbour_blend": 0.4}
Matrix = NDArray[np.float32]


@pytest.fixture
def contents() -> Matrix:
    return np.random.default_rng(0).normal(size=(N_ITEMS, 6)).astype(np.float32)


def test_an_epoch_that_is_clearly_worse_than_untrained_towers_is_refused(contents: Matrix) -> None:
    untrained, worse = _towers(), _blinded(_towers())
    cases = [_next_by(tower_ranker(untrained, _white(contents)), item) for item in range(40)]

    choice = chosen(_trained(worse, untrained), contents, before=_before(cases), cases=cases)

    assert choice.towers is untrained
    assert (choice.metrics["epoch"], choice.metrics["best_epoch"]) == (0, 1)
    for figures in (choice.metrics["held_out"], choice.metrics["watched"]):
        assert figures["learn"] == figures["untrained"]  # type: ignore[index]
        assert figures["refused"] != figures["untrained"]  # type: ignore[index]
    lines = summary(choice.metrics).splitlines()
    assert any(line.startswith("refused towers (epoch 1)") for line in lines)
    assert any(line.endswith("refused, the untrained towers are saved.") for line in lines)


def test_an_epoch_that_is_better_comes_out(contents: Matrix) -> None:
    untrained, better = _blinded(_towers()), _towers()
    cases = [_next_by(tower_ranker(better, _white(contents)), item) for item in range(40)]

    choice = chosen(_trained(better, untrained), contents, before=_before(cases), cases=cases)

    assert choice.towers is better
    assert choice.metrics["epoch"] == 1
    held_out = choice.metrics["held_out"]
    assert held_out["learn"]["ndcg@10"] == 1  # type: ignore[index]
    assert held_out["untrained"]["ndcg@10"] < 0.5  # type: ignore[index]
    assert "refused" not in summary(choice.metrics)


def test_a_loss_within_the_noise_of_the_held_out_users_refuses_nothing(contents: Matrix) -> None:
    untrained, other = _towers(), _blinded(_towers())
    rankers = [tower_ranker(towers, _white(contents)) for towers in (untrained, other)]
    cases = [_next_by(rankers[item >= 22], item) for item in range(40)]

    choice = chosen(_trained(other, untrained), contents, before=_before(cases), cases=cases)

    lead = choice.metrics["held_out_lead"]
    assert lead["mean"] < 0 < lead["high"]  # type: ignore[index]
    assert choice.towers is other


@pytest.mark.parametrize("users", [0, 19])
def test_too_few_users_refuse_nothing(contents: Matrix, users: int) -> None:
    untrained, worse = _towers(), _blinded(_towers())
    cases = [_next_by(tower_ranker(untrained, _white(contents)), item) for item in range(users)]

    choice = chosen(_trained(worse, untrained), contents, before=[np.array([0])], cases=cases)

    assert choice.towers is worse
    assert choice.metrics["held_out_lead"]["low"] is None  # type: ignore[index]
    assert "Too few users" in summary(choice.metrics)


def test_the_card_and_the_metrics_show_what_was_chosen_beside_the_best_rule(
    contents: Matrix, tmp_path: Path
) -> None:
    better, untrained = _towers(), _blinded(_towers())
    cases = [_next_by(tower_ranker(better, _white(contents)), item) for item in range(40)]
    choice = chosen(_trained(better, untrained), contents, before=_before(cases), cases=cases)
    lines = summary(choice.metrics)
    artifact = tower_artifacts(better, "learn_content@0123456789ab", choice.metrics, lines)

    saved = load_artifact(save_artifact(artifact["learn_user"], str(tmp_path)))

    assert lines in saved.description
    assert summary(saved.metrics) == lines
    cells = {line[:38].strip(): line[38:].split() for line in lines.splitlines()[1:6]}
    assert cells["users"] == ["50", "40"]
    assert cells["untrained towers (epoch 0)"][0] == "0.1000"
    assert cells["best rule without training"][0] == "0.5000"
    assert cells["which is"][0] == "nearest_text"
    assert cells["saved towers (epoch 1)"] == ["0.3000", "1.0000"]


def test_the_summary_says_where_no_epoch_was_better_than_untrained_towers(
    contents: Matrix,
) -> None:
    towers = _towers()
    cases = [Case(np.array([0]), np.array([item])) for item in range(1, 31)]
    trained = Trained(towers, towers, CURVE[:1], _trained(towers, towers).watched)

    lines = summary(chosen(trained, contents, before=_before(cases), cases=cases).metrics)

    assert "No epoch ranks better than the untrained towers." in lines
    assert "saved towers (epoch 0)" in lines


def _towers() -> PreferenceTowers:
    """Towers that rank by the cosine of contents."""
    sizes = TowerConfig(
        content_width=6, whitened_width=6, dim=6, width=6, layers=1, heads=2, max_history=4
    )
    return PreferenceTowers(sizes).eval()


def _blinded(towers: PreferenceTowers) -> PreferenceTowers:
    """Let towers see the last two numbers of a content and no others."""
    with torch.no_grad():
        towers.head.weight[:4] = 0
    return towers


def _white(contents: Matrix) -> torch.Tensor:
    return _towers().whitened(torch.from_numpy(contents))


def _next_by(ranker: Ranker, item: int) -> Case:
    """A user who turns from an item to the one that a ranker puts next to it."""
    scores = np.array(ranker([np.array([item])])[0])
    scores[item] = -np.inf
    return Case(np.array([item]), np.array([scores.argmax()]))


def _before(cases: list[Case]) -> list[NDArray[np.int64]]:
    return [case.history for case in cases]


def _trained(best: PreferenceTowers, untrained: PreferenceTowers) -> Trained:
    figures = {"learn": 0.3, "untrained": 0.1, **RULES}
    watched = {name: {"ndcg@10": value, "users": 50} for name, value in figures.items()}
    return Trained(best, untrained, CURVE, watched)
