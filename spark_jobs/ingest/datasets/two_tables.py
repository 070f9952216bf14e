"""Abt-Buy and Walmart-Amazon: two shops' tables each, and which of their records match.

Source: the Leipzig and Magellan benchmarks in pyJedAI's clean-clean form. Each shop is a source
that lists a product at most once. The matches stay out of the columns that the platform reads;
``gold_pairs`` has them, for evaluation alone.
"""

import csv
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.ingest.datasets.window import Window

# Name of the two tables of each data set, in the order of the gold file's columns.
TABLES = {"abt_buy": ("abt", "buy"), "walmart_amazon": ("walmart", "amazon")}


def abt_buy_items(spark: SparkSession, folder: str, window: Window) -> DataFrame:
    """Return one page a record, ``abt:<id>`` or ``buy:<id>``; about half have a price."""
    left, right = (_shop(spark, folder, shop) for shop in TABLES["abt_buy"])
    columns = [*_columns(), F.col("description").alias("text")]
    return left.unionByName(right).withColumnRenamed("name", "title").select(*columns)


def walmart_amazon_items(spark: SparkSession, folder: str, window: Window) -> DataFrame:
    """Return one page a record, ``walmart:<id>`` or ``amazon:<id>``."""
    left, right = (_shop(spark, folder, shop) for shop in TABLES["walmart_amazon"])
    said = {
        name: F.col(column)
        for name, column in (
            ("model", "modelno"),
            ("shipping weight", "shipweight"),
            ("dimensions", "dimensions"),
        )
    }
    entries = F.map_from_arrays(F.array(*[F.lit(name) for name in said]), F.array(*said.values()))
    attributes = F.map_filter(entries, lambda _, value: value.isNotNull())
    return left.unionByName(right).select(*_columns(), "brand", attributes.alias("attributes"))


def gold_pairs(folder: str | Path, data_set: str) -> set[tuple[str, str]]:
    """Return the matching item_ids, the first table's left.

    Args:
        data_set: a key of ``TABLES``.
    """
    left, right = TABLES[data_set]
    with (Path(folder) / "gt.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="|")
        return {(f"{left}:{row['D1']}", f"{right}:{row['D2']}") for row in rows}


def _shop(spark: SparkSession, folder: str, shop: str) -> DataFrame:
    # An empty quote: quotation marks are inches in these files.
    options = {"header": "true", "sep": "|", "quote": ""}
    return spark.read.options(**options).csv(f"{folder}/{shop}.csv").withColumn("shop", F.lit(shop))


def _columns() -> list[Column]:
    return [
        F.lit("page").alias("domain"),
        F.concat("shop", F.lit(":"), "id").alias("item_id"),
        F.col("shop").alias("source"),
        F.col("title"),
        F.col("price").try_cast("double").alias("price"),
    ]
