"""Semantic ids: which three codes stand for the vector of an SPU?"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.config import EncodingConfig
from spark_jobs.embeddings.incremental import first_vectors
from spark_jobs.engine.inference import encoded

CODES = ("c1", "c2", "c3")


def semantic_ids(
    wanted: DataFrame,
    count: int,
    *,
    vectors: DataFrame,
    encoder_path: str,
    config: EncodingConfig,
) -> DataFrame:
    """Look up the codes of each wanted content of an SPU.

    Args:
        wanted: content_hash, distinct; ``count`` of them.
        vectors: content_hash, embedding, event_timestamp: log of the codebook's COPE version.

    Returns:
        content_hash, c1, c2, c3. Lazy, with a model in it: write it once.
    """
    codes = encoded(
        first_vectors(vectors, wanted, ["embedding"]),
        encoder_path,
        keys=("content_hash",),
        outputs={"codes": len(CODES)},
        config=config,
        stage="spu_embeddings",
        count=count,
    )
    columns = [F.col("codes")[level].cast("int").alias(name) for level, name in enumerate(CODES)]
    return codes.select("content_hash", *columns)
