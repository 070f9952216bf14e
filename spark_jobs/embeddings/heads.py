"""COPE's heads: which items can have a vector, and what is it, given their features?"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.config import EncodingConfig
from spark_jobs.engine.inference import encoded

LIKE_ITS_DOMAIN = "like_its_domain"


def encodable_items(items: DataFrame, features: DataFrame) -> DataFrame:
    """Return the items whose content the backbones could read.

    Args:
        items: domain, item_id, content_hash.
        features: content_hash of what was read; unique.

    Returns:
        domain, item_id, content_hash.
    """
    readable = features.select("content_hash")
    return items.join(readable, on="content_hash", how="left_semi").select(
        "domain", "item_id", "content_hash"
    )


def alike_items(items: DataFrame, vectors: DataFrame) -> DataFrame:
    """Return the items that got no vector, as rows of ``quarantine``.

    Their backbones' features are there, but are those of most items of the domain.

    Args:
        items: domain, item_id: as from ``encodable_items``.
        vectors: domain, item_id of the items that have a vector.
    """
    detail = "its text and its pictures are those of most items of its domain"
    return items.join(vectors, on=["domain", "item_id"], how="left_anti").select(
        F.lit("items").alias("source"),
        F.lit(LIKE_ITS_DOMAIN).alias("reason"),
        F.lit("row").alias("scope"),
        F.concat_ws("|", "domain", "item_id").alias("record_key"),
        F.to_json(F.struct(F.lit(detail).alias("detail"))).alias("payload"),
    )


def counted(items: DataFrame, features: DataFrame) -> tuple[int, int]:
    """Return how many items there are, and how many of them ``encodable_items`` keeps."""
    readable = features.select("content_hash", F.lit(True).alias("_readable"))
    flagged = items.join(readable, on="content_hash", how="left")
    total, kept = flagged.agg(F.count("*"), F.count("_readable")).collect()[0]
    return total, kept


def head_vectors(
    wanted: DataFrame,
    count: int,
    *,
    items: DataFrame,
    features: DataFrame,
    encoder_path: str,
    width: int,
    config: EncodingConfig,
) -> DataFrame:
    """Run the heads over wanted contents, each once.

    Args:
        wanted: content_hash, distinct; ``count`` of them.
        items: content_hash, domain. A content may be that of many items, of one domain.
        features: content_hash, image_features, text_features; unique.

    Returns:
        content_hash, embedding. Lazy, with a model in it: write it once.
    """
    domains = items.select("content_hash", "domain").dropDuplicates(["content_hash"])
    inputs = (
        wanted.join(domains, on="content_hash", how="inner")
        .join(features, on="content_hash", how="inner")
        .select("content_hash", "domain", "image_features", "text_features")
    )
    return encoded(
        inputs,
        encoder_path,
        keys=("content_hash",),
        outputs={"embedding": width},
        config=config,
        stage="item_embeddings",
        count=count,
    ).select("content_hash", "embedding")
