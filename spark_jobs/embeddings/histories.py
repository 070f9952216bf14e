"""Histories: each user's last events up to the end of the night, as SPU contents.

Point-in-time: an event counts from the moment it happened, if its item has or had an SPU. An item
that is removed stays in the histories of those who met it, by the last content of its SPU. Users
whose history cannot have changed are left out.
"""

from datetime import datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

EVENT = ("occurred_at", "domain", "item_id", "action")


def spu_contents(prompts: DataFrame, steps: DataFrame | None = None) -> DataFrame:
    """Return what LEARN's towers read of each SPU: spu_id, prompt_hash, content_hash.

    An SPU is what its prompt says and how users behave around it, so its content is of both: two
    SPUs of one prompt differ, and so does an SPU that was met more often.

    Args:
        prompts: spu_id, content_hash of the SPU's last prompt; unique by spu_id.
        steps: spu_id, step: see ``event_steps.py``; without it, behaviour is as of the training.
    """
    parts = [F.col("content_hash"), F.col("spu_id")]
    if steps is not None:
        prompts = prompts.join(steps.select("spu_id", "step"), on="spu_id", how="left")
        parts.append(F.coalesce("step", F.lit(0)).cast("string"))
    return prompts.select(
        "spu_id",
        F.col("content_hash").alias("prompt_hash"),
        F.sha2(F.concat_ws("|", *parts), 256).alias("content_hash"),
    )


def item_contents(members: DataFrame, contents: DataFrame) -> DataFrame:
    """Return the content that stands for each item in a history: domain, item_id, content_hash.

    Args:
        members: domain, item_id, spu_id: the last row of each item, removed or not.
        contents: ``spu_contents``.
    """
    return members.join(contents, on="spu_id", how="inner").select(
        "domain", "item_id", "content_hash"
    )


def touched_users(
    events: DataFrame, active: DataFrame, before: DataFrame, tonight: DataFrame
) -> DataFrame:
    """Return the users whose history may have changed: user_id, distinct.

    Args:
        events: user_id, domain, item_id: all there are.
        active: user_id of tonight's new events.
        before: ``item_contents`` at the start of the night.
        tonight: ``item_contents`` at its end.
    """
    renamed = before.withColumnRenamed("content_hash", "content_hash_before")
    changed = (
        tonight.join(renamed, on=["domain", "item_id"], how="full")
        .filter(~F.col("content_hash").eqNullSafe(F.col("content_hash_before")))
        .select("domain", "item_id")
    )
    affected = events.join(changed, on=["domain", "item_id"], how="left_semi").select("user_id")
    return affected.unionByName(active.select("user_id")).distinct()


def histories(
    events: DataFrame, contents: DataFrame, *, end: datetime, max_history: int
) -> DataFrame:
    """Return the last events of each user, oldest first.

    The order is total (time, domain, item, action), so reruns agree. An event that was delivered on
    two nights counts once. Events of one time, such as the lines of a basket, have one age.

    Args:
        events: user_id, domain, item_id, action, occurred_at.
        contents: domain, item_id, content_hash, row (number in the content matrix).
        end: events from here on are not known yet.

    Returns:
        user_id, n_events, history (ARRAY<INT> of ``row``), ages (ARRAY<INT>, in moments before the
        newest), content_hash (SHA-256 of contents and ages in order). Users without a known event
        are left out.
    """
    newest_first = Window.partitionBy("user_id").orderBy(*[F.col(name).desc() for name in EVENT])
    newest_moment_first = Window.partitionBy("user_id").orderBy(F.col("occurred_at").desc())
    return (
        events.filter(F.col("occurred_at") < F.lit(end))
        .join(contents, on=["domain", "item_id"], how="inner")
        .withColumn("_rank", F.dense_rank().over(newest_first))
        .withColumn("age", F.dense_rank().over(newest_moment_first) - 1)
        .filter(F.col("_rank") <= max_history)
        .groupBy("user_id")
        .agg(
            F.sort_array(F.collect_set(F.struct(*EVENT, "content_hash", "row", "age"))).alias(
                "events"
            )
        )
        .select(
            "user_id",
            F.size("events").alias("n_events"),
            F.col("events.row").alias("history"),
            F.col("events.age").alias("ages"),
            F.sha2(F.array_join(F.transform("events", _met), ","), 256).alias("content_hash"),
        )
    )


def _met(event: Column) -> Column:
    return F.concat_ws(":", event["content_hash"], event["age"])
