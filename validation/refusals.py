"""Refusals: how much of each feed went to quarantine, why, and whose rows they were."""

from collections.abc import Iterable
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.night import Night
from spark_jobs.runs.stage import by_nights
from spark_jobs.warehouse.quarantine import wilson_lower_bound
from validation.figures import Figure, Observation

TABLE = "quarantine"


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


def _figure(name: str, about: str, part: int, whole: int, refused: list[dict[str, Any]]) -> Figure:
    if whole == 0:
        return Figure(TABLE, name, None, "no rows came in", about)
    seen = f"{part:,} of {whole:,} rows ({part / whole:.1%})"
    if refused:
        seen += f": {_largest(refused, 'reason')}"
        if any("merchant" in r for r in refused):
            seen += f"; most from {_largest((r for r in refused if 'merchant' in r), 'merchant')}"
    return Figure(TABLE, name, wilson_lower_bound(part, whole), seen, about)


def _largest(refused: Iterable[dict[str, Any]], column: str, limit: int = 3) -> str:
    totals: dict[str, int] = {}
    for row in refused:
        totals[row[column]] = totals.get(row[column], 0) + row["refused"]
    largest = sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]
    return ", ".join(f"{name} {count:,}" for name, count in largest)
