"""Choices: which few of the SPUs, members and users does the report show?

Every choice is by the hash of a key, so that a night written again shows the same ones, and
bounded, so that a large shop costs the driver no more than a small one.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

# An item stands for its SPU with a picture: a page's are of the product alone.
_TELLING_FIRST = ("page", "video", "live")


def for_map(spus: DataFrame, vectors: DataFrame, limit: int) -> DataFrame:
    """Return at most ``limit`` SPUs with their vectors.

    Args:
        spus: spu_id, title, brand, category, n_items.
        vectors: spu_id, embedding.
    """
    placed = spus.join(vectors, on="spu_id", how="inner")
    return placed.orderBy(*_by_chance("spu_id")).limit(limit)


def for_cards(spus: DataFrame, members: DataFrame, limit: int) -> DataFrame:
    """Return SPUs with members in as many domains as there are, of as many categories as there are.

    Args:
        spus: spu_id, category.
        members: spu_id, domain.

    Returns:
        spu_id, in order.
    """
    domains = members.groupBy("spu_id").agg(F.size(F.collect_set("domain")).alias("n_domains"))
    turn = Window.partitionBy("category").orderBy(F.col("n_domains").desc(), *_by_chance("spu_id"))
    return (
        spus.join(domains, on="spu_id", how="inner")
        .withColumn("_turn", F.row_number().over(turn))
        .orderBy(F.col("n_domains").desc(), "_turn", *_by_chance("spu_id"))
        .limit(limit)
        .select("spu_id")
    )


def of_each_domain(members: DataFrame, limit: int) -> DataFrame:
    """Return at most ``limit`` members of each SPU and domain, surest first.

    Args:
        members: spu_id, domain, item_id, assigned_by, confidence.

    Returns:
        the same columns and n_members: how many there are of the SPU and domain.
    """
    of_domain = Window.partitionBy("spu_id", "domain")
    surest_first = of_domain.orderBy(F.col("confidence").desc(), "item_id")
    return (
        members.withColumn("_rank", F.row_number().over(surest_first))
        .withColumn("n_members", F.count("*").over(of_domain))
        .filter(F.col("_rank") <= limit)
        .orderBy("spu_id", "domain", "_rank")
        .drop("_rank")
    )


def least_sure(members: DataFrame, limit: int) -> DataFrame:
    """Return the members that are held in their SPU by the least, least sure first."""
    return members.orderBy("confidence", "domain", "item_id").limit(limit)


def straying(cosines: DataFrame, limit: int) -> DataFrame:
    """Return the SPUs of which a page lies farthest from the SPU's own vector: spu_id.

    Args:
        cosines: key (an SPU, once a page), score.
    """
    lowest = cosines.groupBy(F.col("key").alias("spu_id")).agg(F.min("score").alias("lowest"))
    return lowest.orderBy("lowest", "spu_id").limit(limit).select("spu_id")


def some_users(vectors: DataFrame, least_events: int, limit: int) -> DataFrame:
    """Return users with a history that says something.

    Args:
        vectors: user_id, n_events, embedding.
    """
    known = vectors.filter(F.col("n_events") >= least_events)
    return known.orderBy(*_by_chance("user_id")).limit(limit)


def one_picture_each(members: DataFrame, items: DataFrame) -> DataFrame:
    """Return the item whose picture stands for each SPU: spu_id, domain, item_id, image.

    Args:
        members: spu_id, domain, item_id.
        items: domain, item_id, image (null without a picture).
    """
    rank = F.array_position(F.array(*map(F.lit, _TELLING_FIRST)), F.col("domain"))
    first = Window.partitionBy("spu_id").orderBy(rank, "item_id")
    return (
        members.join(items, on=["domain", "item_id"], how="inner")
        .filter(F.col("image").isNotNull())
        .withColumn("_rank", F.row_number().over(first))
        .filter(F.col("_rank") == 1)
        .select("spu_id", "domain", "item_id", "image")
    )


def _by_chance(key: str) -> tuple[Column, Column]:
    return F.xxhash64(key), F.col(key)
