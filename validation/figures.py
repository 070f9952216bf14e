"""Figures: what was measured about a night, one number and its words at a time?"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

# Rows of an observed frame as dictionaries.
Observation = list[dict[str, Any]]


@dataclass(frozen=True)
class Figure:
    """A number that a check is about.

    Attributes:
        value: None where there is nothing to measure; the check then passes and ``seen`` says why.
        encoder_version: encoder whose rows were measured; None where it is about all rows.
        threshold: where the figure brings its own, because it depends on what was published.
        step: stage and step whose rows were counted, of figures about quarantine.
    """

    table: str
    name: str
    value: float | None
    seen: str
    encoder_version: str | None = None
    threshold: float | None = None
    step: str | None = None


def observed(frames: Mapping[str, DataFrame]) -> dict[str, Observation]:
    """Compute many small frames in one Spark job.

    Args:
        frames: name -> a frame of few rows, of any columns.

    Returns:
        Name -> its rows, in no order. Columns that are null are absent.
    """
    labelled = [
        frame.select(F.lit(name).alias("name"), F.to_json(F.struct("*")).alias("row"))
        for name, frame in frames.items()
    ]
    found: dict[str, Observation] = {name: [] for name in frames}
    for name, row in reduce(DataFrame.unionByName, labelled).collect():
        found[name].append(json.loads(row))
    return found


def share(
    table: str, name: str, *, part: int, whole: int, words: str, encoder_version: str | None = None
) -> Figure:
    """Return ``part / whole`` as a figure; None where ``whole`` is 0.

    Args:
        words: what the parts are, such as "rows refused".
    """
    if whole == 0:
        return Figure(table, name, None, f"nothing to count: 0 {words}", encoder_version)
    seen = f"{part:,} of {whole:,} {words} ({part / whole:.1%})"
    return Figure(table, name, part / whole, seen, encoder_version)
