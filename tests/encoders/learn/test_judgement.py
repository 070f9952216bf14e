"""Judgement: figures on the time held out, beside the rules, as metrics and as lines."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoders.artifacts import load_artifact, save_artifact
from encoders.learn.behaviour import Behaviour, behaviour_width
from encoders.learn.evaluation import tower_ranker
from encoders.learn.folding import Basis
from encoders.learn.history import Case, History
from encoders.learn.judgement import best_rule, judged, summary
from encoders.learn.ridge import ChosenWhitening
from encoders.learn.rules import popularity
from encoders.learn.tower_artifacts import tower_artifacts
from encoders.learn.towers import TowerConfig, Towers
from encoders.learn.training import Trained
from encoders.learn.whitening import Whitening

N_ITEMS = 60
CONFIG = TowerConfig(content_width=6, whitened_width=6, factors=2, dim=8, hidden=4)
RULES = ["history_blend", "nearest_text", "neighbour_blend", "own_items_again", "popularity"]
WATCHED = {
    name: {"ndcg@10": 0.1 + 0.1 * row, "users": 1050}
    for row, name in enumerate(["untrained", *RULES, "learn"])
}


def _towers(seed: int) -> Towers:
    torch.manual_seed(seed)
    return Towers(CONFIG).eval()


@pytest.fixture
def contents() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(N_ITEMS, 6)).astype(np.float32)


@pytest.fixture
def trained() -> Trained:
    numbers = np.random.default_rng(1).random((N_ITEMS, behaviour_width(2))).astype(np.float32)
    curve = [{"epoch": 0, "ndcg@10": 0.1}, {"epoch": 1, "ndcg@10": 0.6, "loss": 2.0}]
    fitted = ChosenWhitening(Whitening(torch.zeros(1), torch.eye(1)), 0.03, [])
    basis = Basis(np.zeros(2, np.float32), np.ones((N_ITEMS, 4), np.float32))
    towers = _towers(1), _towers(2)
    return Trained(*towers, numbers, basis, curve, WATCHED, "neighbour_blend", 10.0, fitted)


def _cases(trained: Trained, contents: NDArray[np.float32], users: int) -> list[Case]:
    """Users who turn from an item to the one that the trained towers put next to it."""
    behaviour = torch.from_numpy(trained.behaviour_NF)
    inputs = trained.towers.inputs(torch.from_numpy(contents), behaviour).detach()
    histories = [History.one_by_one([item]) for item in range(users)]
    scores = tower_ranker(trained.towers, inputs)(histories).copy()
    scores[range(users), range(users)] = -np.inf
    return [Case(h, row.argmax(keepdims=True)) for h, row in zip(histories, scores, strict=True)]


def test_metrics_hold_towers_and_rules_on_both_times(
    trained: Trained, contents: NDArray[np.float32]
) -> None:
    cases = _cases(trained, contents, 40)

    metrics = judged(trained, contents, before=[case.history for case in cases], cases=cases)

    leads = {"best_rule", "lead", "lead_alone", "teacher", "weight"}
    assert set(metrics) == {"curve", "best_epoch", "watched", "held_out", *leads}
    assert (metrics["curve"], metrics["best_epoch"]) == (trained.curve, 1)
    assert metrics["watched"] == WATCHED
    held_out = metrics["held_out"]
    assert set(held_out) == {"learn", "learn_and_rule", "untrained", *RULES}  # type: ignore[call-overload]
    for figures in held_out.values():  # type: ignore[attr-defined]
        assert set(figures) == {
            "users",
            "users_unmasked",
            "recall@10",
            "ndcg@10",
            "recall@10_unmasked",
            "ndcg@10_unmasked",
        }
    assert held_out["learn"]["ndcg@10"] == 1  # type: ignore[index]
    assert held_out["untrained"]["ndcg@10"] < 0.7  # type: ignore[index]


def test_the_lead_is_over_the_best_rule_within_its_bounds(
    trained: Trained, contents: NDArray[np.float32]
) -> None:
    cases = _cases(trained, contents, 40)

    metrics = judged(trained, contents, before=[case.history for case in cases], cases=cases)

    figures = {name: of["ndcg@10"] for name, of in metrics["held_out"].items()}  # type: ignore[attr-defined]
    lead, alone = metrics["lead"], metrics["lead_alone"]
    assert figures[metrics["best_rule"]] == max(figures[rule] for rule in RULES)  # type: ignore[index]
    rule = figures[metrics["best_rule"]]  # type: ignore[index]
    assert lead["mean"] == pytest.approx(figures["learn_and_rule"] - rule)  # type: ignore[index]
    assert alone["mean"] == pytest.approx(figures["learn"] - rule)  # type: ignore[index]
    assert alone["low"] < alone["mean"] < alone["high"]  # type: ignore[index]


def test_rules_know_what_was_met_before_the_time_held_out(
    trained: Trained, contents: NDArray[np.float32]
) -> None:
    before = [History.one_by_one([7, 8, 9])] * 3
    cases = [Case(History.one_by_one([7]), np.array([9]))] * 5

    held_out = judged(trained, contents, before=before, cases=cases)["held_out"]

    ranking = popularity(before, N_ITEMS)([cases[0].history])[0]
    assert np.flatnonzero(ranking).tolist() == [7, 8, 9]
    # Of 7, 8 and 9, the first was met before and is ranked last.
    assert held_out["popularity"]["ndcg@10"] == pytest.approx(1 / np.log2(3))  # type: ignore[index]


@pytest.mark.parametrize("users", [0, 1, 19])
def test_of_few_users_nothing_is_concluded(
    trained: Trained, contents: NDArray[np.float32], users: int
) -> None:
    cases = _cases(trained, contents, 19)[:users]

    metrics = judged(trained, contents, before=[History.one_by_one([0])], cases=cases)

    lead = metrics["lead"]
    assert (lead["low"], lead["high"]) == (None, None)  # type: ignore[index]
    assert (lead["mean"] is None) == (users == 0)  # type: ignore[index]
    assert summary(metrics).splitlines()[-1].startswith("Too few users")


def test_without_users_the_summary_has_dashes_in_place_of_figures(
    trained: Trained, contents: NDArray[np.float32]
) -> None:
    metrics = judged(trained, contents, before=[], cases=[])

    cells = _cells(summary(metrics))
    assert cells["users"] == ["1,050", "0"]
    assert {name: row[1] for name, row in cells.items() if name != "users"} == dict.fromkeys(
        ["untrained towers (epoch 0)", *RULES, "trained towers (epoch 1)"], "-"
    )


@pytest.mark.parametrize("order", [["b", "a", "learn"], ["learn", "a", "b"]])
def test_of_equal_rules_the_first_by_name_is_best(order: list[str]) -> None:
    figures = {"a": 0.5, "b": 0.5, "learn": 0.9}

    assert best_rule({name: {"ndcg@10": figures[name]} for name in order}) == "a"


def test_the_best_rule_is_neither_trained_nor_untrained_towers() -> None:
    figures = {"learn": 0.9, "untrained": 0.8, "popularity": 0.1, "nearest_text": 0.2}

    assert best_rule({n: {"ndcg@10": value} for n, value in figures.items()}) == "nearest_text"


def _cells(lines: str) -> dict[str, list[str]]:
    """Return the figures of each row of a summary."""
    return {line[:38].strip(): line[38:].split() for line in lines.splitlines()[1:-2]}


def test_the_summary_has_a_row_each_and_a_verdict() -> None:
    held_out = {
        name: {"ndcg@10": figures["ndcg@10"] / 2, "users": 22} for name, figures in WATCHED.items()
    } | {"learn_and_rule": {"ndcg@10": 0.4, "users": 22}}
    metrics = {
        "best_epoch": 3,
        "watched": WATCHED,
        "held_out": held_out,
        "teacher": "history_blend",
        "weight": 3.0,
        "best_rule": "popularity",
        "lead": {"mean": 0.05, "low": -0.01, "high": 0.11},
        "lead_alone": {"mean": 0.02, "low": -0.03, "high": 0.07},
    }

    lines = summary(metrics)

    assert _cells(lines) == {
        "users": ["1,050", "22"],
        "untrained towers (epoch 0)": ["0.1000", "0.0500"],
        "history_blend": ["0.2000", "0.1000"],
        "nearest_text": ["0.3000", "0.1500"],
        "neighbour_blend": ["0.4000", "0.2000"],
        "own_items_again": ["0.5000", "0.2500"],
        "popularity": ["0.6000", "0.3000"],
        "trained towers (epoch 3)": ["0.7000", "0.3500"],
        "trained towers + history_blend": ["0.4000"],
    }
    assert lines.splitlines()[-2:] == [
        "Held out, towers + history_blend against popularity: +0.0500 (95% between -0.0100 and "
        "+0.1100).",
        "Held out, towers alone against popularity: +0.0200 (95% between -0.0300 and +0.0700).",
    ]
    assert len({len(line) for line in lines.splitlines()[:-2]}) == 1


def test_the_summary_of_saved_metrics_is_the_one_on_the_card(
    trained: Trained, contents: NDArray[np.float32], tmp_path: Path
) -> None:
    cases = _cases(trained, contents, 25)
    metrics = judged(trained, contents, before=[case.history for case in cases], cases=cases)
    lines = summary(metrics)
    known = Behaviour([str(row) for row in range(N_ITEMS)], trained.behaviour_NF)
    artifacts = tower_artifacts(trained.towers, known, "learn_content@0123456789ab", metrics, lines)

    saved = load_artifact(save_artifact(artifacts["learn_user"], str(tmp_path)))

    assert lines in saved.description
    assert summary(saved.metrics) == lines
