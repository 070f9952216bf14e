"""Local frames: small Spark frames made of rows in the driver, without a Python worker."""

from collections.abc import Sequence
from typing import cast

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

Values = Sequence[object]


def local_frame(
    spark: SparkSession, rows: Sequence[Values], columns: T.StructType | str
) -> DataFrame:
    """Return rows as a frame.

    ``spark.createDataFrame`` sends Python objects through Python workers each time the frame is
    read, even an empty one. As Arrow, the rows are part of the plan, and the optimizer sees which
    frames are empty.

    Args:
        rows: values in the order of ``columns``.
        columns: names and types, as a schema or as DDL.
    """
    types = columns if isinstance(columns, T.StructType) else T.StructType.fromDDL(columns)
    types = cast(T.StructType, types)
    named = [dict(zip(types.names, row, strict=True)) for row in rows]
    return spark.createDataFrame(pa.Table.from_pylist(named, to_arrow_schema(types)), types)
