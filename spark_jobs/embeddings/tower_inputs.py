"""What LEARN's towers read of each SPU, as frames: its content, and how users behave around it."""

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from encoders.artifacts import EncoderInfo
from encoders.learn.behaviour import Behaviour, behaviour_width, read_behaviour
from spark_jobs.warehouse.tables import Tables

_SCHEMA = pa.schema([("spu_id", pa.string()), ("behaviour", pa.list_(pa.float32()))])


def behaviour_numbers(encoder: EncoderInfo) -> int:
    """Return how many numbers of behaviour an encoder reads of an SPU: 0 where it reads none."""
    if "behaviour" not in encoder.inputs:
        return 0
    return behaviour_width(encoder.size("towers", "factors"))


def known_behaviour(encoder: EncoderInfo) -> Behaviour | None:
    """Return the behaviour that an encoder was trained with; None of one that reads none."""
    return read_behaviour(encoder.folder) if behaviour_numbers(encoder) else None


def trained_behaviours(tables: Tables, known: Behaviour | None) -> DataFrame:
    """Return the behaviour of the SPUs that training saw users meet: spu_id, behaviour.

    It is part of an encoder version, and so goes through the driver: a kilobyte an SPU.
    """
    rows = (
        {"spu_id": [], "behaviour": []}
        if known is None
        else {"spu_id": known.spu_ids, "behaviour": list(known.numbers)}
    )
    return tables.spark.createDataFrame(pa.table(rows, schema=_SCHEMA))


def tower_inputs(contents: DataFrame, embeddings: DataFrame, known: DataFrame) -> DataFrame:
    """Return what the towers read of each content whose prompt has an embedding.

    Args:
        contents: spu_id, prompt_hash, content_hash; unique by spu_id.
        embeddings: prompt_hash, content_embedding; unique by prompt_hash.
        known: spu_id, behaviour; unique by spu_id.

    Returns:
        content_hash, content_embedding, behaviour (null where nobody met the SPU).
    """
    return (
        contents.join(embeddings, on="prompt_hash", how="inner")
        .join(known, on="spu_id", how="left")
        .select("content_hash", "content_embedding", "behaviour")
    )


def matrix_rows(inputs: DataFrame, numbered: DataFrame, numbers: int) -> DataFrame:
    """Return the rows of a content matrix, behaviour beside the content: row, embedding.

    Args:
        inputs: ``tower_inputs``.
        numbered: content_hash, row.
        numbers: ``behaviour_numbers``; an SPU that nobody met has as many zeros.
    """
    nothing = F.array_repeat(F.lit(0.0).cast("float"), numbers)
    both = F.concat("content_embedding", F.coalesce("behaviour", nothing))
    numbered_inputs = inputs.join(numbered, on="content_hash", how="inner")
    return numbered_inputs.select("row", both.alias("embedding"))
