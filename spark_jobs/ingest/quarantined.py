"""Quarantined rows: what does the ledger say of each row, and each picture, that was refused?"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.ingest.columns import FEED, KEYS, PAYLOAD, REASON, Kind
from spark_jobs.ingest.content_hash import PICTURE_PROBLEMS

LEDGER_COLUMNS = ("source", "reason", "scope", "record_key", "payload")


def quarantined_rows(judged: DataFrame, kind: Kind) -> DataFrame:
    """Return ``LEDGER_COLUMNS``: one row each row that was refused."""
    return judged.filter(F.col(REASON).isNotNull()).select(
        F.col(FEED).alias("source"),
        F.col(REASON).alias("reason"),
        F.lit("row").alias("scope"),
        _record_key(kind).alias("record_key"),
        F.coalesce(PAYLOAD, F.lit("{}")).alias("payload"),
    )


def quarantined_pictures(judged_items: DataFrame) -> DataFrame:
    """Return ``LEDGER_COLUMNS``: one row each picture that was left out of its item."""
    return judged_items.select(
        F.col(FEED).alias("source"),
        _record_key("items").alias("record_key"),
        F.explode(PICTURE_PROBLEMS).alias("picture"),
    ).select(
        "source",
        F.col("picture.reason").alias("reason"),
        F.lit("modality").alias("scope"),
        "record_key",
        F.to_json(F.struct("picture.path", "picture.detail")).alias("payload"),
    )


def _record_key(kind: Kind) -> Column:
    keys = KEYS[kind]
    some = F.coalesce(*[F.col(name).cast("string") for name in keys]).isNotNull()
    parts = [F.coalesce(F.col(name).cast("string"), F.lit("")) for name in keys]
    return F.when(some, F.concat_ws("|", *parts)).otherwise(F.lit(""))
