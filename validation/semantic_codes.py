"""Semantic codes: are the codebooks in use, and do codes tell SPUs apart?"""

import math

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import SPU_SEMANTIC_IDS
from validation.figures import Figure, Observation, share

TABLE = SPU_SEMANTIC_IDS.name
LEVELS = ("c1", "c2", "c3")


def code_counts(codes: DataFrame) -> DataFrame:
    """Measure the codes in force.

    Args:
        codes: spu_id, encoder_version, content_hash, c1, c2, c3.

    Returns:
        One row an encoder: encoder_version, spus, used: distinct c1, entropy of c1 in bits, colliding: SPUs that
        share all three codes with an SPU of other content.
    """
    first = (
        codes.groupBy("encoder_version", "c1")
        .agg(F.count("*").alias("n"))
        .groupBy("encoder_version")
        .agg(
            F.count("*").alias("used"),
            (F.log2(F.sum("n")) - F.sum(F.col("n") * F.log2("n")) / F.sum("n")).alias("entropy"),
        )
    )
    full = (
        codes.groupBy("encoder_version", *LEVELS)
        .agg(F.count("*").alias("n"), F.count_distinct("content_hash").alias("contents"))
        .groupBy("encoder_version")
        .agg(
            F.sum("n").alias("spus"),
            F.sum(F.when(F.col("contents") > 1, F.col("n")).otherwise(0)).alias("colliding"),
        )
    )
    return first.join(full, on="encoder_version", how="inner")


def code_figures(observation: Observation, codebook_size: int) -> list[Figure]:
    """Return the figures ``codebook_use``, ``code_entropy`` and ``collisions`` of each encoder.

    Use and entropy are shares of the most that this many SPUs can reach.
    """
    figures = []
    for row in sorted(observation, key=lambda row: str(row["encoder_version"])):
        version, spus, used = row["encoder_version"], row["spus"], row["used"]
        reachable = min(codebook_size, spus)
        seen = f"{used:,} of {reachable:,} first codes are in use by {spus:,} SPUs"
        figures.append(Figure(TABLE, "codebook_use", used / reachable, seen, version))
        figures.append(_entropy(row["entropy"], reachable, version))
        words = "SPUs share their code with one of other content"
        figures.append(
            share(
                TABLE, "collisions", part=row["colliding"], whole=spus, words=words, about=version
            )
        )
    return figures


def _entropy(bits: float, reachable: int, version: str) -> Figure:
    if reachable < 2:
        return Figure(TABLE, "code_entropy", None, "fewer than two SPUs", version)
    most = math.log2(reachable)
    seen = f"{bits:.2f} of {most:.2f} bits in the first code"
    return Figure(TABLE, "code_entropy", bits / most, seen, version)
