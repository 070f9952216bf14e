"""Steps of events: how often an SPU was met, in numbers that change seldom.

Behaviour of an SPU changes when the number of its events reaches 1, 2, 4, 8, 16, 64, 256 ..., and
then every user who met it is encoded again: two users an event at most, over all its time.
"""

from datetime import date, datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.embeddings.histories import EVENT

# Steps double so often, and then go by four: what is well known changes little.
_DOUBLINGS = 4


def item_event_counts(log: DataFrame, *, ds: date, end: datetime) -> DataFrame:
    """Return how many events of each item there are: domain, item_id, n_events, n_before.

    An event that was delivered on two nights counts once, on the first of them.

    Args:
        log: ``interactions`` up to the end of a night.
        ds: of the night; ``n_before`` counts those that earlier nights delivered.
        end: events from here on are not known yet.
    """
    delivered = (
        log.filter(F.col("occurred_at") < F.lit(end))
        .groupBy("user_id", *EVENT)
        .agg(F.min("ds").alias("ds"))
    )
    return delivered.groupBy("domain", "item_id").agg(
        F.count("*").alias("n_events"), F.count_if(F.col("ds") < F.lit(ds)).alias("n_before")
    )


def event_steps(members: DataFrame, counts: DataFrame, counted: str) -> DataFrame:
    """Return the events of each SPU that has any: spu_id, n_events, step.

    Args:
        members: domain, item_id, spu_id; unique by domain and item_id.
        counts: ``item_event_counts``.
        counted: its column to add up.
    """
    return (
        members.join(counts, on=["domain", "item_id"], how="inner")
        .groupBy("spu_id")
        .agg(F.sum(counted).alias("n_events"))
        .filter(F.col("n_events") > 0)
        .select("spu_id", "n_events", last_step(F.col("n_events")).alias("step"))
    )


def last_step(n_events: Column) -> Column:
    """Return the last of 1, 2, 4, 8, 16, 64, 256 ... that a number of at least 1 reached."""
    doublings = F.length(F.bin(n_events)) - 1
    is_between = (doublings > _DOUBLINGS) & (doublings % 2 == 1)
    return F.pow(F.lit(2), doublings - is_between.cast("int")).cast("bigint")
