"""Semantic codes: are the codebooks in use, and do codes tell SPUs apart?"""

import math
from collections.abc import Mapping
from itertools import groupby

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import SPU_SEMANTIC_IDS
from validation.figures import Figure, Observation, share

TABLE = SPU_SEMANTIC_IDS.name
LEVELS = ("c1", "c2", "c3")


def code_counts(states: DataFrame) -> DataFrame:
    """Count the SPUs of each first code.

    Args:
        states: from ``states.fold``.

    Returns:
        encoder, c1, spus, colliding: SPUs that share all three codes with an SPU of other content.
        As many rows as the codebooks have codes.
    """
    of_code = (
        states.filter((F.col("table") == TABLE) & F.col("is"))
        .groupBy("encoder", "ref")
        .agg(
            F.count("*").alias("spus"),
            (F.min("content") != F.max("content")).alias("is_shared"),
        )
    )
    first = F.substring_index("ref", "-", 1).alias("c1")
    return of_code.groupBy("encoder", first).agg(
        F.sum("spus").alias("spus"),
        F.sum(F.when(F.col("is_shared"), F.col("spus")).otherwise(0)).alias("colliding"),
    )


def code_figures(observation: Observation, sizes: Mapping[str, int]) -> list[Figure]:
    """Return the figures ``codebook_use``, ``code_entropy`` and ``collisions`` of each encoder.

    Args:
        sizes: served encoder version -> codes a level has.

    Use and entropy are shares of the most that this many SPUs can reach.
    """
    figures = []
    rows = sorted(observation, key=lambda row: str(row["encoder"]))
    for encoder, of_encoder in groupby(rows, key=lambda row: str(row["encoder"])):
        if encoder not in sizes:  # a release that is no longer served
            continue
        codes = list(of_encoder)
        counts = [row["spus"] for row in codes]
        spus, used = sum(counts), len(counts)
        reachable = min(sizes[encoder], spus)
        seen = f"{used:,} of {reachable:,} first codes are in use by {spus:,} SPUs"
        figures += [
            Figure(TABLE, "codebook_use", used / reachable, seen, encoder),
            _entropy(counts, reachable, encoder),
            share(
                TABLE,
                "collisions",
                part=sum(row["colliding"] for row in codes),
                whole=spus,
                words="SPUs share their code with one of other content",
                encoder_version=encoder,
            ),
        ]
    return figures


def _entropy(counts: list[int], reachable: int, encoder: str) -> Figure:
    if reachable < 2:
        return Figure(TABLE, "code_entropy", None, "fewer than two SPUs", encoder)
    total, most = sum(counts), math.log2(reachable)
    bits = -sum(n / total * math.log2(n / total) for n in counts)
    seen = f"{bits:.2f} of {most:.2f} bits in the first code"
    return Figure(TABLE, "code_entropy", bits / most, seen, encoder)
