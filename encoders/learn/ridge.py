"""Ridge of the whitening: fixed, or the one with which rules that need no training rank best.

How many directions of a content tell products apart, and how many are noise, depends on what the
content is of and on the model that wrote it. The choice costs no training: the text rule and the
blends rank for the users that training watches.

Shapes: N items, C content width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from encoders.learn.evaluation import compared
from encoders.learn.history import Case, History
from encoders.learn.rules import Ranker, Rules, nearest_text, unit_rows
from encoders.learn.whitening import Whitening, fitted_whitenings
from encoders.processes import agreed
from encoders.settings import LearnConfig


@dataclass(frozen=True)
class ChosenWhitening:
    """A whitening, and how it was chosen.

    Attributes:
        ridge: in units of the largest variance.
        tried: a row a ridge: ridge, and the figure of the best rule on the users watched; empty
            where the ridge was fixed.
    """

    whitening: Whitening
    ridge: float
    tried: Sequence[dict[str, float]]


def chosen_whitening(
    content_NC: torch.Tensor,
    histories: Sequence[History],
    cases: Sequence[Case],
    config: LearnConfig,
    *,
    figure: str,
) -> ChosenWhitening:
    """Fit the whitening of a training; of ridges that rank alike the first is taken.

    Args:
        histories: what the rules know: nothing of the targets of ``cases``.
        cases: of the users watched.
        figure: metric that decides.
    """
    ridges = config.ridges
    fitted = dict(
        zip(
            ridges,
            fitted_whitenings(content_NC, max_width=config.whitened_width, ridges=ridges),
            strict=True,
        )
    )
    if len(ridges) == 1:
        return ChosenWhitening(fitted[ridges[0]], ridges[0], [])
    first = Rules(fitted[ridges[0]](content_NC), histories)
    figures = {
        ridge: _best_figure(_text_rules(first, whitening(content_NC)), cases, figure)
        for ridge, whitening in fitted.items()
    }
    best = max(ridges, key=lambda ridge: figures[ridge])
    tried = [{"ridge": ridge, figure: value} for ridge, value in figures.items()]
    return ChosenWhitening(fitted[best], best, tried)


def _text_rules(rules: Rules, white_NK: torch.Tensor) -> dict[str, Ranker]:
    """Return the rules that read contents, over others: their transitions are the same."""
    unit_NK = unit_rows(white_NK)
    blends = {name: blend.reading(unit_NK) for name, blend in rules.blends.items()}
    return {"nearest_text": nearest_text(unit_NK), **blends}


def _best_figure(rules: dict[str, Ranker], cases: Sequence[Case], figure: str) -> float:
    return agreed(max(its.get(figure, 0.0) for its in compared(rules, cases).values()))
