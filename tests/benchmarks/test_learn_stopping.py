"""What comes out of LEARN's training on two public shops: chosen by its loss, and by its ranking.

    pytest tests/benchmarks/test_learn_stopping.py -m bench

Every epoch is trained once a seed; the two ways to choose look at the same epochs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import learn_shops
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from result_tables import table

from encoders.learn import training
from encoders.learn.choice import Choice, chosen
from encoders.learn.evaluation import compared, tower_ranker
from encoders.learn.towers import PreferenceTowers, TowerConfig
from encoders.learn.training_run import Curve, TrainingRun, best_epoch
from encoders.settings import LearnConfig

pytestmark = [pytest.mark.bench, pytest.mark.timeout(14400)]

PAGE = ("learn-early-stopping", "LEARN: which epoch comes out of a training")
SEEDS = (0, 1, 2)
RULES = ("popularity", "own_items_again", "nearest_text", "neighbour_blend", "history_blend")
Figures = Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """One training, and what the two ways to choose make of it.

    Attributes:
        curve: of all epochs.
        held_out: figures of the epoch with the least loss (``loss``), and those of ``choice``.
    """

    seed: int
    curve: Curve
    least_loss: int
    choice: Choice
    held_out: Mapping[str, Figures]


def test_epochs_chosen_by_loss_and_by_ranking(
    shop: learn_shops.Shop, contents_NC: NDArray[np.float32], sections: list[str]
) -> None:
    outcomes = [outcome(shop, contents_NC, seed) for seed in SEEDS]

    sections.append(section(shop, outcomes))
    for its in outcomes:
        assert its.held_out["learn"]["ndcg@10"] >= its.held_out["loss"]["ndcg@10"] - 0.002


def outcome(shop: learn_shops.Shop, contents_NC: NDArray[np.float32], seed: int) -> Outcome:
    """Train all epochs, and choose one by its loss and one by its ranking."""
    torch.set_num_threads(1)
    config = LearnConfig(seed=seed)
    sizes = TowerConfig(content_width=contents_NC.shape[1], whitened_width=256)
    run = training._started(contents_NC, shop.before, sizes, config=config, device="cpu")
    run.look_at_untrained()
    weights = [run.untrained]
    for epoch in range(1, config.epochs + 1):
        run.one_epoch(epoch)
        weights.append({name: value.clone() for name, value in run.towers.state_dict().items()})
    curve = run.curve
    run.curve = _until_converged(curve, best_epoch, config.patience)
    run.best = weights[best_epoch(run.curve)]
    least_loss = least_loss_epoch(_until_converged(curve, least_loss_epoch, config.patience))
    choice = chosen(training._trained(run), contents_NC, before=shop.before, cases=shop.cases)
    ranker = tower_ranker(_towers(run, weights[least_loss]), run.white_NK)
    held_out: dict[str, Figures] = {
        **choice.metrics["held_out"],  # type: ignore[dict-item]
        **compared({"loss": ranker}, shop.cases),
    }
    return Outcome(seed, curve, least_loss, choice, held_out)


def least_loss_epoch(curve: Curve) -> int:
    """Return the epoch with the least contrastive loss, as LEARN's training chose before."""
    return int(min(curve, key=lambda row: row["validation_loss"])["epoch"])


def _until_converged(curve: Curve, best_of: Callable[[Curve], int], patience: int) -> Curve:
    """Return the part of a curve that a training which chooses so would have run."""
    for end in range(1, len(curve) + 1):
        if end - 1 - best_of(curve[:end]) >= patience:
            return curve[:end]
    return curve


def _towers(run: TrainingRun, weights: Mapping[str, torch.Tensor]) -> PreferenceTowers:
    towers = PreferenceTowers(run.towers.config)
    towers.load_state_dict(weights)
    return towers.eval()


def section(shop: learn_shops.Shop, outcomes: Sequence[Outcome]) -> str:
    """Return a shop's figures: means over seeds, each seed, and the curve of the first one."""
    first = outcomes[0]
    users = int(first.held_out["learn"]["users"])
    watched = int(_watched(first, "learn")["users"])
    counts = (
        f"{len(shop.texts):,} items, {len(shop.before):,} users; {watched:,} of them watched and "
        f"not learned from; {users:,} users held out. Means over seeds {SEEDS}."
    )
    parts = [f"## {shop.name}", counts, _means(outcomes), _by_seed(outcomes), _curve(first)]
    return "\n\n".join(parts)


def _means(outcomes: Sequence[Outcome]) -> str:
    names = {
        "untrained": "untrained towers, epoch 0",
        "loss": "before: epoch of the least loss",
        "learn": "now: what is saved",
        **{rule: rule for rule in RULES},
    }
    figures = ("recall@10", "ndcg@10", "ndcg@10_unmasked")
    rows = [
        [label, _mean([_watched(its, name)["ndcg@10"] for its in outcomes])]
        + [_mean([its.held_out[name][figure] for its in outcomes]) for figure in figures]
        for name, label in names.items()
    ]
    columns = ("", "watched N@10", "held out R@10", "N@10", "N@10, repeats count")
    return table(columns, rows)


def _by_seed(outcomes: Sequence[Outcome]) -> str:
    rows = [
        [its.seed, its.least_loss, its.choice.metrics["best_epoch"], its.choice.metrics["epoch"]]
        + [f"{its.held_out[name]['ndcg@10']:.4f}" for name in ("untrained", "loss", "learn")]
        + [_interval(its.choice.metrics["held_out_lead"])]  # type: ignore[arg-type]
        for its in outcomes
    ]
    columns = (
        *("seed", "epoch by loss", "by ranking", "saved"),
        *("held out N@10: untrained", "by loss", "saved"),
        "by ranking - untrained (95 %)",
    )
    return table(columns, rows)


def _curve(its: Outcome) -> str:
    rows = [
        [row["epoch"], f"{row['ndcg@10']:.4f}", f"{row['validation_loss']:.3f}"]
        for row in its.curve
    ]
    return table((f"seed {its.seed}, epoch", "watched N@10", "contrastive loss"), rows)


def _watched(its: Outcome, name: str) -> Figures:
    if name == "loss":
        return its.curve[its.least_loss]
    figures: Mapping[str, Figures] = its.choice.metrics["watched"]  # type: ignore[assignment]
    return figures[name]


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.4f}"


def _interval(lead: Mapping[str, float]) -> str:
    return f"{lead['mean']:+.4f} ({lead['low']:+.4f} to {lead['high']:+.4f})"
