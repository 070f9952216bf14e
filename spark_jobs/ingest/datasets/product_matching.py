"""Data sets of offers whose true products are known: PriceRunner, Abt-Buy, Walmart-Amazon.

PriceRunner: 35,311 offers of 306 merchants, UCI ML repository id 837 (Akritidis et al.). Abt-Buy
and Walmart-Amazon: two shops' tables each, the Leipzig and Magellan benchmarks in pyJedAI's
clean-clean form; each shop is a source that lists a product at most once.

The true products are not in the columns that the platform reads: ``gold_clusters`` and
``gold_pairs`` return them, for evaluation alone.
"""

import csv
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.ingest.datasets.adapter import Window

# The two tables of each data set, in the order of the gold file's columns.
TABLES = {"abt_buy": ("abt", "buy"), "walmart_amazon": ("walmart", "amazon")}
_PRICERUNNER_FILE = "pricerunner_aggregate.csv"


def pricerunner_items(spark: SparkSession, folder: str, window: Window) -> DataFrame:
    """Return one page an offer; its source is the merchant. There are no prices or pictures."""
    reader = spark.read.option("header", True).option("escape", '"')
    return reader.csv(f"{folder}/{_PRICERUNNER_FILE}").select(
        F.lit("page").alias("domain"),
        F.concat(F.lit("pricerunner:"), F.col("Product ID")).alias("item_id"),
        F.concat(F.lit("merchant "), F.col("Merchant ID")).alias("source"),
        F.col("Product Title").alias("title"),
        F.col("Category Label").alias("category"),
    )


def abt_buy_items(spark: SparkSession, folder: str, window: Window) -> DataFrame:
    """Return one page a record, ``abt:<id>`` or ``buy:<id>``; about half have a price."""
    left, right = (_shop(spark, folder, shop) for shop in TABLES["abt_buy"])
    columns = [*_columns(), F.col("description").alias("text")]
    return left.unionByName(right).withColumnRenamed("name", "title").select(*columns)


def walmart_amazon_items(spark: SparkSession, folder: str, window: Window) -> DataFrame:
    """Return one page a record, ``walmart:<id>`` or ``amazon:<id>``."""
    left, right = (_shop(spark, folder, shop) for shop in TABLES["walmart_amazon"])
    columns = {
        "model": "modelno",
        "shipping weight": "shipweight",
        "dimensions": "dimensions",
    }
    names, values = [F.lit(name) for name in columns], [F.col(name) for name in columns.values()]
    entries = F.map_from_arrays(F.array(*names), F.array(*values))
    attributes = F.map_filter(entries, lambda _, value: value.isNotNull())
    return left.unionByName(right).select(*_columns(), "brand", attributes.alias("attributes"))


def gold_clusters(folder: str | Path) -> dict[str, str]:
    """Return the true product's id of each item_id of PriceRunner."""
    with (Path(folder) / _PRICERUNNER_FILE).open(encoding="utf-8", newline="") as file:
        return {
            f"pricerunner:{row['Product ID']}": row["Cluster ID"] for row in csv.DictReader(file)
        }


def gold_pairs(folder: str | Path, data_set: str) -> set[tuple[str, str]]:
    """Return the pairs of matching item_ids, that of the first table left.

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
