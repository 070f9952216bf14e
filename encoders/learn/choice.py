"""Choice of the towers that a training saves, with their figures beside the alternatives.

The epoch is chosen on the users watched; epoch 0, the untrained towers, competes. The held-out time
chooses nothing, for figures on what something was chosen on are too good. It has one veto: where
a paired bootstrap over its users puts the whole central 95 % of the chosen epoch's lead in nDCG@10
over the untrained towers below zero, the untrained towers come out instead. A smaller loss is
within the noise of the held-out users and vetoes nothing: to take whichever has the higher figure
would be choosing on them. A veto on equal towers happens once in forty trainings, so the held-out
figures of what comes out are hardly flattered by it. Fewer users than a bootstrap needs veto
nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.learn.batches import History
from encoders.learn.evaluation import Case, both_ways, compared, summed_up, tower_ranker
from encoders.learn.rules import rules
from encoders.learn.towers import PreferenceTowers
from encoders.learn.training import Trained
from encoders.learn.training_run import FIGURE
from encoders.resampling import CONFIDENCE, Difference, difference, scores_of_users

Figures = Mapping[str, Mapping[str, float]]
# What metrics hold beside the rules.
_TOWERS = frozenset({"learn", "untrained", "refused"})


@dataclass(frozen=True)
class Choice:
    """What comes out of a training.

    Attributes:
        metrics: ``curve``; ``best_epoch`` on the users watched; ``epoch``, the one that came out;
            metrics on the users ``watched`` and on the time ``held_out``, each of the towers that
            came out (``learn``), of those ``untrained``, of the best epoch where it was
            ``refused``, and of the rules; ``held_out_lead`` of the best epoch over the untrained
            towers, its bounds null where there are too few users.
    """

    towers: PreferenceTowers
    metrics: dict[str, object]


def chosen(
    trained: Trained,
    content_NC: NDArray[np.float32],
    *,
    before: Sequence[History],
    cases: Sequence[Case],
) -> Choice:
    """Judge a training on the time held out and return what comes out of it.

    Args:
        before: what each user met before the held-out time: what the rules know.
        cases: of the users with events on both sides.
    """
    held_out, lead = _held_out(trained, content_NC, before=before, cases=cases)
    is_refused = lead.high < 0
    metrics: dict[str, object] = {
        "curve": trained.curve,
        "best_epoch": trained.best_epoch,
        "epoch": 0 if is_refused else trained.best_epoch,
        "watched": _refused(trained.watched) if is_refused else trained.watched,
        "held_out": _refused(held_out) if is_refused else held_out,
        "held_out_lead": {
            name: None if math.isnan(value) else value for name, value in asdict(lead).items()
        },
    }
    return Choice(trained.untrained if is_refused else trained.towers, metrics)


def summary(metrics: Mapping[str, Any]) -> str:
    """Return what came out beside the untrained towers and the best rule, as lines of text.

    Args:
        metrics: of a ``Choice``.
    """
    columns = [metrics["watched"], metrics["held_out"]]
    rules = [_best_rule(figures) for figures in columns]
    rows = [
        ("nDCG@10, items met before ranked last", ["users watched", "time held out"]),
        ("users", [f"{figures['learn']['users']:,}" for figures in columns]),
        ("untrained towers (epoch 0)", _row(columns, "untrained")),
        ("best rule without training", [_shown(f, r) for f, r in zip(columns, rules, strict=True)]),
        ("  which is", rules),
        (f"saved towers (epoch {metrics['epoch']})", _row(columns, "learn")),
    ]
    if metrics["epoch"] != metrics["best_epoch"]:
        rows.append((f"refused towers (epoch {metrics['best_epoch']})", _row(columns, "refused")))
    lines = [f"{name:<38}{''.join(f'{cell:>18}' for cell in cells)}" for name, cells in rows]
    return "\n".join([*lines, *_verdicts(metrics)])


def _held_out(
    trained: Trained,
    content_NC: NDArray[np.float32],
    *,
    before: Sequence[History],
    cases: Sequence[Case],
) -> tuple[Figures, Difference]:
    """Return the metrics of all on the time held out, and the lead of the best epoch."""
    white_NK = trained.towers.whitened(torch.from_numpy(np.ascontiguousarray(content_NC)))
    ours = both_ways(tower_ranker(trained.towers, white_NK), cases)
    untrained = both_ways(tower_ranker(trained.untrained, white_NK), cases)
    figures = {
        "learn": summed_up(ours),
        "untrained": summed_up(untrained),
        **compared(rules(white_NK, before), cases),
    }
    lead = difference(*(scores_of_users(scores[FIGURE]) for scores in (ours, untrained)))
    return figures, lead


def _refused(figures: Figures) -> Figures:
    """Return figures in which the untrained towers are what came out."""
    return {**figures, "learn": figures["untrained"], "refused": figures["learn"]}


def _row(columns: Sequence[Figures], name: str) -> list[str]:
    return [_shown(figures, name) for figures in columns]


def _shown(figures: Figures, name: str) -> str:
    value = figures[name].get(FIGURE)
    return "-" if value is None else f"{value:.4f}"


def _best_rule(figures: Figures) -> str:
    # By name where figures are equal: metrics that were saved come back in another order.
    names = sorted(name for name in figures if name not in _TOWERS)
    return max(names, key=lambda rule: figures[rule].get(FIGURE, 0.0))


def _verdicts(metrics: Mapping[str, Any]) -> list[str]:
    held_out, best = metrics["held_out"], metrics["best_epoch"]
    verdicts = [_lead(metrics)] if best else ["No epoch ranks better than the untrained towers."]
    rule = _best_rule(held_out)
    if held_out[rule].get(FIGURE, 0.0) > held_out["learn"].get(FIGURE, 0.0):
        verdicts.append(f"{rule}, which needs no training, is ahead of the saved towers.")
    return verdicts


def _lead(metrics: Mapping[str, Any]) -> str:
    mean, low, high = (metrics["held_out_lead"][name] for name in ("mean", "low", "high"))
    if low is None:
        return "Too few users to hold the epoch against the untrained towers on the time held out."
    refusal = ": refused, the untrained towers are saved." if high < 0 else "."
    return (
        f"Epoch {metrics['best_epoch']} against untrained, held out: {mean:+.4f} "
        f"({CONFIDENCE:.0%} between {low:+.4f} and {high:+.4f}){refusal}"
    )
