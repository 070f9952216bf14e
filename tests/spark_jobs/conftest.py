"""Fixtures of the stages' tests: rows written down as dictionaries, in a table's columns."""

from collections.abc import Callable, Mapping, Sequence

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from spark_jobs.contracts import LOG_COLUMN_NAMES, Table
from spark_jobs.frames import local_frame
from spark_jobs.tables import schema

ContractFrame = Callable[[Table, Sequence[Mapping[str, object]]], DataFrame]


@pytest.fixture(scope="session")
def contract_frame(spark: SparkSession) -> ContractFrame:
    """Rows as a frame in the table's columns but the dates; null where a row does not say."""

    def frame(table: Table, rows: Sequence[Mapping[str, object]]) -> DataFrame:
        columns = [
            T.StructField(column.name, column.dataType)
            for column in schema(table)
            if column.name not in LOG_COLUMN_NAMES
        ]
        values = [tuple({"is_active": True, **row}.get(c.name) for c in columns) for row in rows]
        return local_frame(spark, values, T.StructType(columns))

    return frame
