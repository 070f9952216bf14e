"""Outcome of an evaluation: figures of encoders and of the untrained baselines, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from encoders.resampling import Difference, Scores, difference


class Unevaluable(ValueError):
    """These encoders cannot be compared: nothing is held out from all of them."""


@dataclass(frozen=True)
class Evaluation:
    """Encoders of one kind, judged on the same cases.

    Attributes:
        title: COPE or LEARN.
        held_out: description of the cases.
        counts: kind of thing -> how many there are.
        figures: column -> figure -> value; encoders first, the untrained rules after them.
        encoders: column -> encoder version, of the columns that are an encoder.
        headline: the figure that ``differences`` are of.
        differences: column -> how far it is ahead of the first one.
        notes: sentences on what else a reader should know.
    """

    title: str
    held_out: str
    counts: Mapping[str, int]
    figures: Mapping[str, Mapping[str, float]]
    encoders: Mapping[str, str]
    headline: str
    differences: Mapping[str, Difference]
    notes: Sequence[str] = ()


def differences_from_first(scores: Mapping[str, Scores]) -> dict[str, Difference]:
    """Return how far each column is ahead of the first one, without the first one.

    Args:
        scores: column -> its scores, all of the same cases.
    """
    (_, first), *others = scores.items()
    return {name: difference(column, first) for name, column in others}
