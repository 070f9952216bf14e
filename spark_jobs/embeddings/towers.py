"""LEARN's towers: what are the vectors of histories and of SPU contents?"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.config import EncodingConfig
from spark_jobs.embeddings.content_matrix import ContentMatrix
from spark_jobs.engine.inference import encoded

STAGE = "user_embeddings"


def user_vectors(
    wanted: DataFrame,
    count: int,
    *,
    histories: DataFrame,
    matrix: ContentMatrix,
    encoder_path: str,
    width: int,
    config: EncodingConfig,
) -> DataFrame:
    """Run the user tower over wanted histories, each once. Writes the matrix, if it is not there.

    Args:
        wanted: content_hash, distinct; ``count`` of them.
        histories: content_hash, history. Users may have equal histories.

    Returns:
        content_hash, embedding. Lazy, with a model in it: write it once.
    """
    inputs = (
        histories.join(wanted, on="content_hash", how="left_semi")
        .select("content_hash", "history")
        .dropDuplicates(["content_hash"])  # equal hashes are equal histories
    )
    return encoded(
        inputs,
        encoder_path,
        keys=("content_hash",),
        outputs={"embedding": width},
        config=config,
        context=matrix.path(),
        stage=STAGE,
        count=count,
    )


def spu_vectors(
    wanted: DataFrame,
    count: int,
    *,
    embeddings: DataFrame,
    encoder_path: str,
    width: int,
    config: EncodingConfig,
) -> DataFrame:
    """Run the item tower over wanted contents.

    Args:
        wanted: content_hash, distinct; ``count`` of them.
        embeddings: content_hash, embedding (the language model's); unique.

    Returns:
        content_hash, embedding (the tower's). Lazy, with a model in it: write it once.
    """
    inputs = embeddings.join(wanted, on="content_hash", how="left_semi").select(
        "content_hash", F.col("embedding").alias("content_embedding")
    )
    return encoded(
        inputs,
        encoder_path,
        keys=("content_hash",),
        outputs={"embedding": width},
        config=config,
        stage=STAGE,
        count=count,
    )
