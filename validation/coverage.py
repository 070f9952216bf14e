"""Coverage: does everything in force have a vector of each served encoder, and nothing else one?"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from validation.figures import Figure, Observation, share


def coverage(
    population: DataFrame, vectors: DataFrame, keys: Sequence[str], encoders: Sequence[str]
) -> DataFrame:
    """Hold the rows of a vector table against what it should have a row for.

    Args:
        population: keys, and content_hash where the vector must be of that content; one row a key.
        vectors: keys, encoder_version, content_hash of the rows in force; each has a vector, which the audit
            of the night that wrote it has checked.
        encoders: encoder versions of the served releases.

    Returns:
        One row an encoder: encoder_version, wanted, covered, orphans: vectors of keys that are not in the population.
    """
    versions = F.explode(F.array(*[F.lit(version) for version in encoders])).alias(
        "encoder_version"
    )
    wanted = population.select(*keys, _content(population).alias("wanted_content"), versions)
    has = vectors.filter(F.col("encoder_version").isin(*encoders)).select(
        *keys, "encoder_version", "content_hash", F.lit(True).alias("has_vector")
    )
    joined = wanted.withColumn("is_wanted", F.lit(True)).join(
        has, on=[*keys, "encoder_version"], how="full"
    )
    of_content = F.col("wanted_content").isNull() | (
        F.col("wanted_content") == F.col("content_hash")
    )
    return joined.groupBy("encoder_version").agg(
        F.count_if("is_wanted").alias("wanted"),
        F.count_if(F.col("is_wanted") & F.col("has_vector") & of_content).alias("covered"),
        F.count_if(F.col("is_wanted").isNull()).alias("orphans"),
    )


def users_with_history(interactions: DataFrame, members: DataFrame) -> DataFrame:
    """Return user_id of the users who did something with an item that has an SPU: LEARN reads nothing else.

    Args:
        interactions: the change log.
        members: spu_members in force.
    """
    known = interactions.join(
        members.select("domain", "item_id"), on=["domain", "item_id"], how="left_semi"
    )
    return known.select("user_id").distinct()


def coverage_figures(table: str, nouns: str, observation: Observation) -> list[Figure]:
    """Return the figures ``coverage`` and ``orphans`` of each encoder."""
    figures = []
    for row in sorted(observation, key=lambda row: str(row["encoder_version"])):
        version, orphans = row["encoder_version"], row["orphans"]
        figures.append(
            share(
                table,
                "coverage",
                part=row["covered"],
                whole=row["wanted"],
                words=f"active {nouns} have a vector",
                about=version,
            )
        )
        seen = f"{orphans:,} vectors of {nouns} that are not in force"
        figures.append(Figure(table, "orphans", float(orphans), seen, version))
    return figures


def _content(population: DataFrame) -> Column:
    return (
        F.col("content_hash")
        if "content_hash" in population.columns
        else F.lit(None).cast("string")
    )
