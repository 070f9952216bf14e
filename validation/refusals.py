"""Refusals: how much of each feed went to quarantine, why, and whose rows they were."""

import math
from collections.abc import Iterable
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.nights import Night
from spark_jobs.stage import by_nights
from validation.figures import Figure, Observation

TABLE = "quarantine"

# One-sided 95 %: a feed of 20 rows with 2 refused may well have a true share of 3 %.
_Z = 1.645


def steps(stage_runs: DataFrame, night: Night) -> DataFrame:
    """Return stage, step, rows_in, rows_quarantined of tonight's steps; not those of backfills."""
    is_tonight = (F.col("ds") == F.lit(night.ds)) & (F.col("stage") != "validation")
    tonight = by_nights(stage_runs).filter(is_tonight)
    return tonight.select("stage", "step", "rows_in", "rows_quarantined")


def reasons(quarantine: DataFrame, night: Night) -> DataFrame:
    """Count tonight's refusals.

    Returns:
        stage, source, reason, scope, merchant, refused. ``merchant`` is the source that the refused
        row itself names; absent where it names none.
    """
    merchant = F.get_json_object("payload", "$.source")
    return (
        quarantine.filter(F.col("ds") == F.lit(night.ds))
        .groupBy("stage", "source", "reason", "scope", merchant.alias("merchant"))
        .agg(F.count("*").alias("refused"))
    )


def refusal_figures(run: Observation, refused: Observation) -> list[Figure]:
    """Return the figures ``refused`` and ``unreadable_parts`` of each step."""
    figures = []
    names = {(step["stage"], step["step"]) for step in run}
    for step in sorted(run, key=lambda step: (step["stage"], step["step"])):
        key = step["stage"], step["step"]
        # A feed's step has its name. Encoding stages name what they write, and refuse rows of what
        # they read.
        of_step = [
            r
            for r in refused
            if (r["stage"], r["source"]) == key
            or (r["stage"] == step["stage"] and (r["stage"], r["source"]) not in names)
        ]
        about = f"{step['stage']}, {step['step']}"
        rows = [r for r in of_step if r["scope"] == "row"]
        parts = [r for r in of_step if r["scope"] == "modality"]
        figures.append(_figure("refused", about, step["rows_quarantined"], step["rows_in"], rows))
        n_parts = sum(r["refused"] for r in parts)
        figures.append(_figure("unreadable_parts", about, n_parts, step["rows_in"], parts))
    return figures


def lower_bound(part: int, whole: int) -> float:
    """Return the least that the share may be, with 95 % confidence (Wilson's interval).

    So that a feed of a handful of rows is not stopped by one bad row among them.
    """
    p, z2 = min(part / whole, 1.0), _Z**2
    centre = p + z2 / (2 * whole)
    spread = _Z * math.sqrt(p * (1 - p) / whole + z2 / (4 * whole**2))
    return max(0.0, (centre - spread) / (1 + z2 / whole))


def _figure(name: str, about: str, part: int, whole: int, refused: list[dict[str, Any]]) -> Figure:
    if whole == 0:
        return Figure(TABLE, name, None, "no rows came in", about)
    seen = f"{part:,} of {whole:,} rows ({part / whole:.1%})"
    if refused:
        seen += f": {_largest(refused, 'reason')}"
        if any("merchant" in r for r in refused):
            seen += f"; most from {_largest((r for r in refused if 'merchant' in r), 'merchant')}"
    return Figure(TABLE, name, lower_bound(part, whole), seen, about)


def _largest(refused: Iterable[dict[str, Any]], column: str, limit: int = 3) -> str:
    totals: dict[str, int] = {}
    for row in refused:
        totals[row[column]] = totals.get(row[column], 0) + row["refused"]
    largest = sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]
    return ", ".join(f"{name} {count:,}" for name, count in largest)
