import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from spark_jobs.contracts import LOG_COLUMN_NAMES, SPU_CONTENT_EMBEDDINGS, SPU_EVENTS, TABLES
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.warehouse.schemas import conform, fingerprint, schema, schema_differences


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_every_contract_is_readable_ddl_that_holds_its_keys(table, spark) -> None:
    assert set(table.keys) <= set(schema(table).names)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_every_column_of_every_contract_says_what_it_means(table, spark) -> None:
    without = [column.name for column in schema(table) if not column.metadata.get("comment")]

    assert without == []


def test_schema_differences_names_what_is_missing_unknown_or_of_another_type(
    spark: SparkSession,
) -> None:
    found = T.StructType([c for c in schema(SPU_EVENTS) if c.name not in ("event", "ds")])
    found = found.add("ds", T.StringType()).add("note", T.StringType())

    assert schema_differences(found, SPU_EVENTS) == [
        "ds should be date but is string",
        "event should be string but is missing",
        "note is not a column of the table",
    ]


def test_schema_differences_allows_another_order_nulls_and_comments(spark: SparkSession) -> None:
    found = [T.StructField(c.name, c.dataType, nullable=True) for c in schema(SPU_EVENTS)]

    assert schema_differences(T.StructType(found[::-1]), SPU_EVENTS) == []


def test_conform_puts_columns_into_the_contracts_order(spark: SparkSession) -> None:
    names = schema(SPU_CONTENT_EMBEDDINGS).names
    frame = local_frame(spark, [], schema(SPU_CONTENT_EMBEDDINGS)).select(*reversed(names))

    assert conform(frame, SPU_CONTENT_EMBEDDINGS).columns == names


def test_fingerprint_is_of_the_rows_and_not_of_their_order(spark: SparkSession) -> None:
    def rows(*values: tuple[str, int]) -> DataFrame:
        columns = [c for c in schema(SPU_EVENTS) if c.name in ("spu_id", "event", "other_spu_id")]
        filled = [(spu, "merged", f"spu_{other}") for spu, other in values]
        frame = local_frame(spark, filled, T.StructType(columns))
        when = {name: F.lit(None) for name in LOG_COLUMN_NAMES}
        return frame.withColumns(when)

    one, other = rows(("a", 1), ("b", 2)), rows(("b", 2), ("a", 1))

    assert fingerprint(one, SPU_EVENTS) == fingerprint(other, SPU_EVENTS)
    assert fingerprint(one, SPU_EVENTS) != fingerprint(rows(("a", 1), ("a", 1)), SPU_EVENTS)
