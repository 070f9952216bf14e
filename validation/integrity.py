"""Integrity: does everything that a row refers to exist, and do the tables agree with each other?"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import INTERACTIONS, SPU_EVENTS, SPU_MEMBERS, SPUS
from validation.figures import Figure, Observation, share

_ITEM = ["domain", "item_id"]


def member_references(members: DataFrame, items: DataFrame, spus: DataFrame) -> DataFrame:
    """Hold members against items and SPUs, all of them in force.

    Args:
        members: domain, item_id, spu_id.
        items: domain, item_id.
        spus: spu_id, n_items.

    Returns:
        One row: pages, grouped_pages: those with an SPU; no_item, no_spu: members whose item or SPU is not in
        force; spus; miscounted: SPUs whose n_items is not the number of their members.
    """
    by_item = items.select(*_ITEM, F.lit(True).alias("is_item")).join(
        members.select(*_ITEM, F.lit(True).alias("is_member")), on=_ITEM, how="full"
    )
    is_page = F.col("is_item") & (F.col("domain") == "page")
    of_items = by_item.agg(
        F.count_if(is_page).alias("pages"),
        F.count_if(is_page & F.col("is_member")).alias("grouped_pages"),
        F.count_if(F.col("is_item").isNull()).alias("no_item"),
    )
    counts = members.groupBy("spu_id").agg(F.count("*").alias("members"))
    by_spu = spus.select("spu_id", "n_items").join(counts, on="spu_id", how="full")
    of_spus = by_spu.agg(
        F.count("n_items").alias("spus"),
        F.coalesce(F.sum(F.when(F.col("n_items").isNull(), F.col("members"))), F.lit(0)).alias(
            "no_spu"
        ),
        F.count_if(F.col("n_items") != F.coalesce("members", F.lit(0))).alias("miscounted"),
    )
    return of_items.crossJoin(of_spus)  # one row each


def member_figures(observation: Observation) -> list[Figure]:
    """Return ``grouped_pages``, ``no_item``, ``no_spu`` of members and ``miscounted`` of SPUs."""
    row, name = observation[0], SPU_MEMBERS.name
    return [
        share(
            name,
            "grouped_pages",
            part=row["grouped_pages"],
            whole=row["pages"],
            words="active pages have an SPU",
        ),
        _count(name, "no_item", row["no_item"], "members whose item is not in force"),
        _count(name, "no_spu", row["no_spu"], "members whose SPU is not in force"),
        _count(
            SPUS.name,
            "miscounted",
            row["miscounted"],
            f"of {row['spus']:,} SPUs whose n_items is not their number of members",
        ),
    ]


def interaction_references(staged: DataFrame, items: DataFrame) -> DataFrame:
    """Count tonight's events, and those of items that no night has heard of.

    Args:
        items: the change log; an event of an item that has been removed since is fine.

    Returns:
        One row: events, unknown.
    """
    known = items.select(*_ITEM).distinct().withColumn("is_known", F.lit(True))
    joined = staged.select(*_ITEM).join(known, on=_ITEM, how="left")
    return joined.agg(
        F.count("*").alias("events"), F.count_if(F.col("is_known").isNull()).alias("unknown")
    )


def interaction_figures(observation: Observation) -> list[Figure]:
    """Return the figure ``unknown_items``."""
    row = observation[0]
    words = f"of {row['events']:,} events are about an item that was never known"
    return [_count(INTERACTIONS.name, "unknown_items", row["unknown"], words)]


def event_consistency(events: DataFrame, before: DataFrame, tonight: DataFrame) -> DataFrame:
    """Hold tonight's events against the SPUs before and after them.

    Args:
        events: tonight's spu_events.
        before: spu_id of the SPUs in force at the start of the night; ``tonight``: at its end.

    Returns:
        One row: before: SPUs then; gone: those that events took away; contradicting: events that say otherwise
        than the states do; unexplained: SPUs that came or went without an event.
    """
    states = before.select("spu_id", F.lit(True).alias("was")).join(
        tonight.select("spu_id", F.lit(True).alias("now")), on="spu_id", how="full"
    )
    said = events.groupBy("spu_id").agg(F.collect_set("event").alias("said"))
    joined = states.join(said, on="spu_id", how="full")
    was, now = F.coalesce("was", F.lit(False)), F.coalesce("now", F.lit(False))
    came = F.arrays_overlap("said", F.array(F.lit("created"), F.lit("split")))
    went = F.arrays_overlap("said", F.array(F.lit("merged"), F.lit("retired")))
    explained = F.when(~was & now, came).when(was & ~now, went)
    return joined.agg(
        F.count_if(was).alias("before"),
        F.count_if(was & ~now).alias("gone"),
        F.count_if((came & (was | ~now)) | (went & now)).alias("contradicting"),
        F.count_if((was != now) & ~F.coalesce(explained, F.lit(False))).alias("unexplained"),
    )


def event_figures(observation: Observation) -> list[Figure]:
    """Return ``contradicting``, ``unexplained`` and ``churn``."""
    row, name = observation[0], SPU_EVENTS.name
    churn = share(
        name,
        "churn",
        part=row["gone"],
        whole=row["before"],
        words="SPUs merged or retired in one night",
    )
    return [
        _count(
            name, "contradicting", row["contradicting"], "events that the SPUs in force contradict"
        ),
        _count(name, "unexplained", row["unexplained"], "SPUs came or went without an event"),
        churn,
    ]


def _count(table: str, name: str, count: int, words: str) -> Figure:
    return Figure(table, name, float(count), f"{count:,} {words}")
