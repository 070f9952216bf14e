"""Judgement of a training: its figures on the time held out, beside all that it has to beat.

The held-out time chooses nothing, neither epoch nor setting: figures on what something was chosen
on are too good.

Shapes: N items, C content width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.learn.evaluation import both_ways, summed_up, tower_ranker
from encoders.learn.history import Case, History
from encoders.learn.rules import Rules, added
from encoders.learn.towers import Towers
from encoders.learn.training import FIGURE, Trained
from encoders.learn.whitening import Whitening
from encoders.resampling import CONFIDENCE, difference, scores_of_users

Figures = Mapping[str, Mapping[str, float]]
# What metrics hold beside the rules.
_TOWERS = frozenset({"learn", "untrained", "learn_and_rule"})


def judged(
    trained: Trained,
    content_NC: NDArray[np.float32],
    *,
    before: Sequence[History],
    cases: Sequence[Case],
) -> dict[str, object]:
    """Return the metrics of a training.

    Args:
        before: what each user met before the held-out time: what towers and rules know.
        cases: of the users with events on both sides.

    Returns:
        ``curve`` and ``best_epoch``; metrics on the users ``watched`` and on the time ``held_out``,
        each of the towers (``learn``), of those ``untrained``, and of the rules, and on the latter
        of towers and rule together (``learn_and_rule``: the scores of the ``teacher`` plus
        ``weight`` times the cosine, both chosen on the users watched); ``best_rule`` on the time
        held out; ``lead`` of both together over it in nDCG@10, and ``lead_alone`` of the towers'
        vectors, their bounds null where there are too few users.
    """
    content = torch.from_numpy(np.ascontiguousarray(content_NC))
    towers = trained.towers
    white_NK = Whitening(towers.mean_C.cpu(), towers.map_CK.cpu())(content)
    rules = Rules(white_NK, before).by_name
    learned = tower_ranker(towers, _inputs(towers, content, trained))
    rankers = {
        "learn": learned,
        "untrained": tower_ranker(trained.untrained, _inputs(trained.untrained, content, trained)),
        "learn_and_rule": added(rules[trained.teacher], learned, trained.weight),
        **rules,
    }
    by_user = {name: both_ways(ranker, cases) for name, ranker in rankers.items()}
    held_out = {name: summed_up(scores) for name, scores in by_user.items()}
    rule = best_rule(held_out)
    lead, alone = (
        difference(*(scores_of_users(by_user[name][FIGURE]) for name in (ranker, rule)))
        for ranker in ("learn_and_rule", "learn")
    )
    return {
        "curve": trained.curve,
        "best_epoch": trained.best_epoch,
        "watched": trained.watched,
        "held_out": held_out,
        "teacher": trained.teacher,
        "weight": trained.weight,
        "best_rule": rule,
        "lead": lead.as_json(),
        "lead_alone": alone.as_json(),
    }


def best_rule(figures: Figures) -> str:
    """Return the rule with the best figure."""
    return max(_rule_names(figures), key=lambda rule: figures[rule].get(FIGURE, 0.0))


def summary(metrics: Mapping[str, Any]) -> str:
    """Return the towers' figures beside those of the untrained ones and the rules, as lines.

    Args:
        metrics: of ``judged``.
    """
    columns = [metrics["watched"], metrics["held_out"]]
    rows = [
        ("nDCG@10, items met before ranked last", ["users watched", "time held out"]),
        ("users", [f"{figures['learn']['users']:,}" for figures in columns]),
        ("untrained towers (epoch 0)", _row(columns, "untrained")),
        *((name, _row(columns, name)) for name in _rule_names(metrics["held_out"])),
        (f"trained towers (epoch {metrics['best_epoch']})", _row(columns, "learn")),
        (f"trained towers + {metrics['teacher']}", ["", *_row(columns[1:], "learn_and_rule")]),
    ]
    lines = [f"{name:<38}{''.join(f'{cell:>18}' for cell in cells)}" for name, cells in rows]
    return "\n".join([*lines, *_verdicts(metrics)])


def _inputs(towers: Towers, content: torch.Tensor, trained: Trained) -> torch.Tensor:
    device = towers.mean_C.device
    with torch.inference_mode():
        return towers.inputs(content.to(device), torch.from_numpy(trained.behaviour_NF).to(device))


def _rule_names(figures: Figures) -> list[str]:
    # Sorted: metrics that were saved come back in another order.
    return sorted(name for name in figures if name not in _TOWERS)


def _row(columns: Sequence[Figures], name: str) -> list[str]:
    values = [figures[name].get(FIGURE) for figures in columns]
    return ["-" if value is None else f"{value:.4f}" for value in values]


def _verdicts(metrics: Mapping[str, Any]) -> list[str]:
    if metrics["lead"]["low"] is None:
        return ["Too few users to hold the towers against the best rule on the time held out."]
    named = {"lead": f"towers + {metrics['teacher']}", "lead_alone": "towers alone"}
    return [
        f"Held out, {name} against {metrics['best_rule']}: {metrics[lead]['mean']:+.4f} "
        f"({CONFIDENCE:.0%} between {metrics[lead]['low']:+.4f} and {metrics[lead]['high']:+.4f})."
        for lead, name in named.items()
    ]
