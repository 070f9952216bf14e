"""Schemas: contracts as Spark schemas, and frames held against them."""

from functools import cache
from typing import cast

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from spark_jobs.contracts import Table


class ContractBroken(ValueError):
    """A frame does not have the columns that its table promises."""


@cache
def schema(table: Table) -> T.StructType:
    """Return the Spark schema of a contract, NOT NULL and comments kept."""
    return cast(T.StructType, T.StructType.fromDDL(table.ddl))


def partitions(table: Table) -> list[str]:
    """Return the columns that a table is partitioned by."""
    return [name for name in ("ds", "stage") if name in schema(table).names]


def schema_differences(found: T.StructType, table: Table) -> list[str]:
    """Return every column that is missing, unknown or of another type than the contract says.

    Order, NOT NULL and comments may differ.
    """
    expected = {column.name: column.dataType.simpleString() for column in schema(table)}
    actual = {column.name: column.dataType.simpleString() for column in found}
    missing = [
        f"{name} should be {expected[name]} but is missing"
        for name in expected.keys() - actual.keys()
    ]
    unknown = [f"{name} is not a column of the table" for name in actual.keys() - expected.keys()]
    mistyped = [
        f"{name} should be {expected[name]} but is {actual[name]}"
        for name in expected.keys() & actual.keys()
        if expected[name] != actual[name]
    ]
    return sorted([*missing, *unknown, *mistyped])


def conform(rows: DataFrame, table: Table) -> DataFrame:
    """Return ``rows`` with exactly the contract's columns, in its order.

    Raises:
        ContractBroken: naming every column that is missing, unknown or of another type.
    """
    differences = schema_differences(rows.schema, table)
    if differences:
        raise ContractBroken(
            f"cannot write {table.name} ({table.grain}): {'; '.join(differences)}. "
            "Fix the job, or change the contract in spark_jobs/contracts.py."
        )
    return rows.select(*schema(table).names)


def with_missing_columns(rows: DataFrame, table: Table) -> DataFrame:
    """Return ``rows`` with the contract's columns that they lack, comments included, as nulls.

    Rows of an earlier version lack columns that have come since. A column that must not be null is
    added to a ledger alone, whose migration fills it.
    """
    missing = [
        column
        for column in schema(table)
        if column.name not in rows.columns and (column.nullable or table.shape == "ledger")
    ]
    nulls = [
        F.lit(None).cast(column.dataType).alias(column.name, metadata=column.metadata)
        for column in missing
    ]
    return rows.select("*", *nulls) if nulls else rows


def fingerprint(rows: DataFrame, table: Table) -> tuple[int, int]:
    """Return the number of rows and an order-free hash of all columns but the time of writing."""
    columns = [name for name in schema(table).names if name != "created_timestamp"]
    # Hashes are summed, so the order of rows and files does not matter; decimal, so the sum cannot
    # overflow.
    row_hash = F.xxhash64(F.to_json(F.struct(*columns))).cast("decimal(38,0)")
    count, total = rows.agg(F.count("*"), F.sum(row_hash)).collect()[0]
    return int(count), int(total or 0) % 2**64
