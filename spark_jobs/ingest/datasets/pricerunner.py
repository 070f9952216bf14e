"""PriceRunner: 35,311 offers of 306 merchants, whose true products are known.

Source: UCI ML repository id 837 (Akritidis et al.). The gold clusters stay out of the columns that
the platform reads; ``gold_clusters`` has them, for evaluation alone.
"""

import csv
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.ingest.datasets.window import Window

_FILE = "pricerunner_aggregate.csv"


def items(spark: SparkSession, folder: str, window: Window) -> DataFrame:
    """Return one page an offer; its source is the merchant. There are no prices or pictures."""
    offers = spark.read.option("header", True).option("escape", '"').csv(f"{folder}/{_FILE}")
    return offers.select(
        F.lit("page").alias("domain"),
        F.concat(F.lit("pricerunner:"), F.col("Product ID")).alias("item_id"),
        F.concat(F.lit("merchant "), F.col("Merchant ID")).alias("source"),
        F.col("Product Title").alias("title"),
        F.col("Category Label").alias("category"),
    )


def gold_clusters(folder: str | Path) -> dict[str, str]:
    """Return the id of the true product of each item_id."""
    with (Path(folder) / _FILE).open(encoding="utf-8", newline="") as file:
        return {
            f"pricerunner:{row['Product ID']}": row["Cluster ID"] for row in csv.DictReader(file)
        }
