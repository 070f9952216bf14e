"""Amazon Beauty 2014, 5-core: 22,363 users' purchases in order, of 12,101 titled items.

Source: McAuley's Amazon reviews 2014, as joined from three public copies.

The data has the order of each user's events but no moments. They are set by rule: a user's last
event is at noon of 2014-07-22, the one before a day earlier, and so on. So a night at or after that
day reads everything, and a history cut at 2014-07-22 is the usual leave-one-out split. Rates and
gaps in time have no meaning.
"""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.ingest.datasets.adapter import Window

# The last review in the original data was written on 2014-07-23.
_LAST_EVENT = "2014-07-22 12:00:00"


def items(spark: SparkSession, folder: str, window: Window) -> DataFrame:
    """Return one page an ASIN. Seven have no title and will be refused."""
    rows = spark.read.option("header", True).option("escape", '"').csv(f"{folder}/items.csv")
    return rows.select(
        F.lit("page").alias("domain"),
        F.concat(F.lit("amazon:"), F.col("asin")).alias("item_id"),
        F.lit("amazon").alias("source"),
        "title",
        F.col("category_path").alias("category"),
    )


def interactions(spark: SparkSession, folder: str, window: Window) -> DataFrame:
    """Return one purchase an event of a user's sequence, at moments set by rule: see above."""
    fields = F.split(F.trim("value"), " ")
    events = (
        spark.read.text(f"{folder}/user_sequences.txt")
        .select(fields[0].alias("user"), F.slice(fields, 2, F.size(fields)).alias("asins"))
        .select("user", F.size("asins").alias("length"), F.posexplode("asins").alias("at", "asin"))
    )
    days_before = F.make_dt_interval(days=F.col("length") - 1 - F.col("at"))
    return events.select(
        F.concat(F.lit("amazon:"), F.col("user")).alias("user_id"),
        F.lit("page").alias("domain"),
        F.concat(F.lit("amazon:"), F.col("asin")).alias("item_id"),
        F.lit("purchase").alias("action"),
        (F.lit(_LAST_EVENT).cast("timestamp") - days_before).alias("occurred_at"),
    ).filter(window.holds(F.col("occurred_at")))
