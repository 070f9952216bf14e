"""Counts of a night as figures: volumes, references, coverage, refusals and semantic codes."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import (
    INTERACTIONS,
    QUARANTINE,
    SPU_EVENTS,
    SPU_MEMBERS,
    SPU_SEMANTIC_IDS,
    SPUS,
    USER_EMBEDDINGS,
)
from spark_jobs.night import Night
from spark_jobs.runs.stage import by_nights
from spark_jobs.warehouse.quarantine import wilson_lower_bound
from validation.measurements.figures import NOTHING_PUBLISHED, Figure, share
from validation.measurements.states import ENTITIES, encoded

# A row of counts by column, and the rows of a small frame as dictionaries without their nulls.
Counts = Mapping[str, Any]
Observation = Sequence[dict[str, Any]]

# Entity -> what a row of it is, in the plural.
NOUNS = {"item": "active items", "spu": "active SPUs", "user": "users with a history"}

# Variants of one product (sizes, colours) share a picture; more than 20 items of one picture are a
# placeholder.
MAX_SHARERS = 20


def volume_figures(table: str, counts: Counts) -> list[Figure]:
    """Return the figures ``rows``, ``row_drop`` and ``changed``.

    Args:
        counts: the row of ``states.tally`` about the table's entity.
    """
    before, tonight = counts["before"], counts["tonight"]
    rows = Figure(table, "rows", float(tonight), f"{tonight:,} active rows")
    if before == 0:
        missing = [Figure(table, name, None, NOTHING_PUBLISHED) for name in ("row_drop", "changed")]
        return [rows, *missing]
    seen = f"{tonight:,} active rows after {before:,} the night before ({counts['gone']:,} gone)"
    drop = Figure(table, "row_drop", max(0.0, 1 - tonight / before), seen)
    noun = "rows changed content"
    return [rows, drop, share(table, "changed", part=counts["changed"], whole=before, noun=noun)]


def reference_figures(items: Counts, spus: Counts) -> list[Figure]:
    """Return the figures about references between tables.

    Args:
        items: the row of ``states.tally`` about items.
        spus: the row about SPUs.
    """
    members, events = SPU_MEMBERS.name, SPU_EVENTS.name
    denied = "SPUs whose events their state denies"
    miscounted = f"of {spus['tonight']:,} SPUs whose n_items is not their number of members"
    unknown = f"of {items['events']:,} events are about an item that was never known"
    return [
        share(
            members,
            "grouped_pages",
            part=items["grouped_pages"],
            whole=items["pages"],
            noun="active pages have an SPU",
        ),
        _count(members, "no_item", items["dangling"], "members whose item is not active"),
        _count(members, "no_spu", spus["dangling"], "members whose SPU is not active"),
        _count(SPUS.name, "miscounted", spus["miscounted"], miscounted),
        _count(INTERACTIONS.name, "unknown_items", items["unknown"], unknown),
        _count(events, "contradicting", spus["contradicting"], denied),
        _count(events, "unexplained", spus["unexplained"], "SPUs came or went without an event"),
        share(
            events,
            "churn",
            part=spus["gone"],
            whole=spus["before"],
            noun="SPUs merged or retired in one night",
        ),
    ]


def coverage_figures(
    counts: Mapping[str, Counts], encoders: Mapping[str, Sequence[str]]
) -> list[Figure]:
    """Return the figures ``coverage`` and ``orphans`` of each table and encoder.

    Args:
        counts: entity -> its row of ``states.tally``; absent where there is nothing at all.
        encoders: kind -> served encoder versions.
    """
    figures = []
    for i, (table, version) in enumerate(encoded(encoders)):
        entity = ENTITIES[table][0]
        row, noun = counts.get(entity, {}), f"{NOUNS[entity]} have a vector"
        part, whole = row.get(f"covered_{i}", 0), row.get("tonight", 0)
        figures.append(
            share(table, "coverage", part=part, whole=whole, noun=noun, encoder_version=version)
        )
        # A user keeps the last vector while the items of a history come and go.
        if table != USER_EMBEDDINGS.name:
            orphans = row.get(f"orphans_{i}", 0)
            gone = "vectors of keys that are gone"
            figures.append(_count(table, "orphans", orphans, gone, version))
    return figures


def shared_pictures(items: DataFrame) -> DataFrame:
    """Count the items whose picture is a picture of many others.

    Args:
        items: domain, item_id, images of active items.

    Returns:
        One row: items with a picture, sharing: those with a picture of more than ``MAX_SHARERS``
        items, commonest: SHA-256 of the commonest picture, and commonest_items, how many items it
        has.
    """
    shown = items.select(
        "domain", "item_id", F.explode("images.sha256").alias("sha256")
    ).distinct()  # frames of a still video are the same picture
    sharers = shown.groupBy("sha256").agg(F.count("*").alias("sharers"))
    worst = (
        shown.join(sharers, on="sha256", how="inner")
        .groupBy("domain", "item_id")
        .agg(F.max(F.struct("sharers", "sha256")).alias("worst"))
    )
    commonest = F.max("worst")
    return worst.agg(
        F.count("*").alias("items"),
        F.count_if(F.col("worst.sharers") > MAX_SHARERS).alias("sharing"),
        commonest["sha256"].alias("commonest"),
        commonest["sharers"].alias("commonest_items"),
    )


def picture_figure(table: str, counts: Counts) -> Figure:
    """Return the figure ``shared_pictures`` of the row of the function of that name."""
    noun = f"new or changed items with a picture show one that more than {MAX_SHARERS} of them show"
    part, whole = counts["sharing"], counts["items"]
    figure = share(table, "shared_pictures", part=part, whole=whole, noun=noun)
    if not part:
        return figure
    worst = f"{counts['commonest_items']:,} of them show {counts['commonest'][:12]}... (SHA-256)"
    return Figure(table, figure.measure, figure.value, f"{figure.seen}; {worst}")


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
        row itself names; null where it names none.
    """
    merchant = F.get_json_object("payload", "$.source")
    return (
        by_nights(quarantine)
        .filter(F.col("ds") == F.lit(night.ds))
        .groupBy("stage", "source", "reason", "scope", merchant.alias("merchant"))
        .agg(F.count("*").alias("refused"))
    )


def refusal_figures(run: Observation, refused: Observation) -> list[Figure]:
    """Return the figures ``refused`` and ``unreadable_parts`` of each step.

    Args:
        run: rows of ``steps``.
        refused: rows of ``reasons``.
    """
    names = {(step["stage"], step["step"]) for step in run}
    figures = []
    for step in sorted(run, key=_step_order):
        stage = step["stage"]
        # A feed's step has its name. Encoding stages name what they write, and refuse rows of what
        # they read.
        of_step = [
            row
            for row in refused
            if (row["stage"], row["source"]) == (stage, step["step"])
            or (row["stage"] == stage and (row["stage"], row["source"]) not in names)
        ]
        rows = [row for row in of_step if row["scope"] == "row"]
        parts = [row for row in of_step if row["scope"] == "modality"]
        n_rows, n_parts = step["rows_quarantined"], sum(row["refused"] for row in parts)
        figures += [
            _refused_share("refused", step, n_rows, rows),
            _refused_share("unreadable_parts", step, n_parts, parts),
        ]
    return figures


def code_figures(codes: Observation, sizes: Mapping[str, int]) -> list[Figure]:
    """Return the figures ``codebook_use``, ``code_entropy`` and ``collisions`` of each encoder.

    Use and entropy are shares of the most that this many SPUs can reach.

    Args:
        codes: rows of ``states.code_counts``.
        sizes: served encoder version -> codes a level has; the codes of others are left out.
    """
    rows = sorted(codes, key=lambda row: str(row["encoder"]))
    return [
        figure
        for encoder, of_encoder in groupby(rows, key=lambda row: str(row["encoder"]))
        if encoder in sizes
        for figure in _code_figures(encoder, list(of_encoder), sizes[encoder])
    ]


def _code_figures(encoder: str, codes: Observation, size: int) -> list[Figure]:
    table, counts = SPU_SEMANTIC_IDS.name, [row["spus"] for row in codes]
    spus, used = sum(counts), len(counts)
    reachable = min(size, spus)
    use = f"{used:,} of {reachable:,} first codes are in use by {spus:,} SPUs"
    colliding = sum(row["colliding"] for row in codes)
    noun = "SPUs share their code with one of other content"
    shared = share(
        table, "collisions", part=colliding, whole=spus, noun=noun, encoder_version=encoder
    )
    return [
        Figure(table, "codebook_use", used / reachable, use, encoder),
        _entropy(counts, reachable, encoder),
        shared,
    ]


def _entropy(counts: Sequence[int], reachable: int, encoder: str) -> Figure:
    table, total = SPU_SEMANTIC_IDS.name, sum(counts)
    if reachable < 2:
        return Figure(table, "code_entropy", None, "fewer than two SPUs", encoder)
    most = math.log2(reachable)
    bits = -sum(n / total * math.log2(n / total) for n in counts)
    seen = f"{bits:.2f} of {most:.2f} bits in the first code"
    return Figure(table, "code_entropy", bits / most, seen, encoder)


def _count(
    table: str, measure: str, count: int, noun: str, encoder_version: str | None = None
) -> Figure:
    return Figure(table, measure, float(count), f"{count:,} {noun}", encoder_version)


def _step_order(step: Counts) -> tuple[str, str, str]:
    return step["stage"], step["step"], step.get("encoder_version", "")


def _refused_share(measure: str, step: Counts, part: int, refused: Observation) -> Figure:
    figure = Figure(
        QUARANTINE.name,
        measure,
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
    if merchants := [row for row in refused if "merchant" in row]:
        seen += f"; most from {_largest(merchants, 'merchant')}"
    return replace(figure, value=wilson_lower_bound(part, whole), seen=seen)


def _largest(refused: Observation, column: str, limit: int = 3) -> str:
    totals: Counter[str] = Counter()
    for row in refused:
        totals[row[column]] += row["refused"]
    largest = sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]
    return ", ".join(f"{name} {count:,}" for name, count in largest)
