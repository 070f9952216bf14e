"""Outcome: what an evaluation says of encoders and of the untrained rules they have to beat."""

from collections.abc import Mapping
from dataclasses import dataclass

from encoders.resampling import Difference


class Unevaluable(ValueError):
    """There is nothing that these encoders could be held against each other on."""


@dataclass(frozen=True)
class Evaluation:
    """Encoders of one kind, judged on the same cases.

    Attributes:
        title: COPE or LEARN.
        held_out: what the cases are, in words.
        counts: how many of what.
        figures: column -> figure -> value; encoders first, the untrained rules after them.
        encoders: encoder version of each column that is one.
        headline: the figure of ``differences``.
        differences: column -> how far it is ahead of the first one.
    """

    title: str
    held_out: str
    counts: Mapping[str, int]
    figures: Mapping[str, Mapping[str, float]]
    encoders: Mapping[str, str]
    headline: str
    differences: Mapping[str, Difference]
