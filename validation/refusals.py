"""Refusals: how much of each feed went to quarantine, why, and whose rows they were."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.night import Night
from spark_jobs.runs.stage import by_nights
from spark_jobs.warehouse.refused_share import lower_bound
from validation.figures import Figure, Observation

TABLE = "quarantine"


def steps(stage_runs: DataFrame, night: Night) -> DataFrame:
    """Return stage, step, encoder_version, rows_in, rows_quarantined of tonight's steps.

    Those of backfills are not among them.
    """
    is_tonight = (F.col("ds") == F.lit(night.ds)) & (F.col("stage") != "validation")
    tonight = by_nights(stage_runs).filter(is_tonight)
    return tonight.select("stage", "step", "encoder_version", "rows_in", "rows_quarantined")


def reasons(quarantine: DataFrame, night: Night) -> DataFrame:
    """Count tonight's refusals.

    Returns:
        stage, source, reason, scope, merchant, refused. ``merchant`` is the source that the refused
        row itself names; absent where it names none.
    """
    merchant = F.get_json_object("payload", "$.source")
    return (
        by_nights(quarantine)
        .filter(F.col("ds") == F.lit(night.ds))
        .groupBy("stage", "source", "reason", "scope", merchant.alias("merchant"))
        .agg(F.count("*").alias("refused"))
    )


def refusal_figures(run: Observation, refused: Observation) -> list[Figure]:
    """Return the figures ``refused`` and ``unreadable_parts`` of each step."""
    figures = []
    names = {(step["stage"], step["step"]) for step in run}
    for step in sorted(run, key=_step_order):
        key = step["stage"], step["step"]
        # A feed's step has its name. Encoding stages name what they write, and refuse rows of what
        # they read.
        of_step = [
            r
            for r in refused
            if (r["stage"], r["source"]) == key
            or (r["stage"] == step["stage"] and (r["stage"], r["source"]) not in names)
        ]
        rows = [r for r in of_step if r["scope"] == "row"]
        parts = [r for r in of_step if r["scope"] == "modality"]
        figures.append(_figure("refused", step, step["rows_quarantined"], rows))
        n_parts = sum(r["refused"] for r in parts)
        figures.append(_figure("unreadable_parts", step, n_parts, parts))
    return figures


def _step_order(step: Mapping[str, Any]) -> tuple[str, str, str]:
    return step["stage"], step["step"], step.get("encoder_version", "")


def _figure(name: str, step: Mapping[str, Any], part: int, refused: list[dict[str, Any]]) -> Figure:
    # Columns that are null are absent from an observation.
    figure = Figure(
        TABLE,
        name,
        None,
        "no rows came in",
        encoder_version=step.get("encoder_version"),
        step=f"{step['stage']}, {step['step']}",
    )
    whole = step["rows_in"]
    if whole == 0:
        return figure
    seen = f"{part:,} of {whole:,} rows ({part / whole:.1%})"
    if refused:
        seen += f": {_largest(refused, 'reason')}"
        if any("merchant" in r for r in refused):
            seen += f"; most from {_largest((r for r in refused if 'merchant' in r), 'merchant')}"
    return replace(figure, value=lower_bound(part, whole), seen=seen)


def _largest(refused: Iterable[dict[str, Any]], column: str, limit: int = 3) -> str:
    totals: dict[str, int] = {}
    for row in refused:
        totals[row[column]] = totals.get(row[column], 0) + row["refused"]
    largest = sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]
    return ", ".join(f"{name} {count:,}" for name, count in largest)
