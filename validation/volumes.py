"""Volumes: did a night lose rows, change too many of them, or show one picture everywhere?"""

from collections.abc import Mapping
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from validation.figures import Figure, Observation, share

# Variants of one product (sizes, colours) share a picture; more than 20 items of one picture are a
# placeholder.
MAX_SHARERS = 20


def volume_figures(table: str, row: Mapping[str, Any]) -> list[Figure]:
    """Return the figures ``rows``, ``row_drop`` and ``changed`` of a row of ``states.tally``."""
    before, tonight = row["before"], row["tonight"]
    rows = Figure(table, "rows", float(tonight), f"{tonight:,} rows in force")
    if before == 0:
        nothing = "no published night to compare with"
        return [
            rows,
            Figure(table, "row_drop", None, nothing),
            Figure(table, "changed", None, nothing),
        ]
    drop = Figure(
        table,
        "row_drop",
        max(0.0, 1 - tonight / before),
        f"{tonight:,} rows in force after {before:,} the night before ({row['gone']:,} gone)",
    )
    return [
        rows,
        drop,
        share(table, "changed", part=row["changed"], whole=before, words="rows changed content"),
    ]


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


def picture_figures(table: str, observation: Observation) -> list[Figure]:
    """Return the figure ``shared_pictures``."""
    row = observation[0]
    words = (
        f"new or changed items with a picture show one that more than {MAX_SHARERS} of them show"
    )
    figure = share(table, "shared_pictures", part=row["sharing"], whole=row["items"], words=words)
    if not row["sharing"]:
        return [figure]
    worst = f"; {row['commonest_items']:,} of them show {row['commonest'][:12]}... (SHA-256)"
    return [Figure(table, figure.name, figure.value, figure.seen + worst)]
