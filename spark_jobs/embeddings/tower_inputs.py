"""Behaviours: what an encoder version knows of how users behave around each SPU, as a frame.

They are of the version's training: an SPU that came later has none until the next one.
"""

import pyarrow as pa
from pyspark.sql import DataFrame

from encoders.artifacts import EncoderInfo
from encoders.learn.behaviour import behaviour_width, read_behaviour
from spark_jobs.warehouse.tables import Tables

_SCHEMA = pa.schema([("spu_id", pa.string()), ("behaviour", pa.list_(pa.float32()))])


def behaviour_numbers(encoder: EncoderInfo) -> int:
    """Return how many numbers of behaviour an encoder reads of an SPU: 0 where it reads none."""
    if "behaviour" not in encoder.inputs:
        return 0
    return behaviour_width(encoder.size("towers", "factors"))


def behaviours(tables: Tables, encoder: EncoderInfo) -> DataFrame:
    """Return the behaviour of the SPUs that users met: spu_id, behaviour (ARRAY<FLOAT>).

    It is part of an encoder version, and so goes through the driver: a kilobyte an SPU.
    """
    known = read_behaviour(encoder.folder) if behaviour_numbers(encoder) else None
    rows = (
        {"spu_id": [], "behaviour": []}
        if known is None
        else {"spu_id": known.spu_ids, "behaviour": list(known.numbers)}
    )
    return tables.spark.createDataFrame(pa.table(rows, schema=_SCHEMA))
