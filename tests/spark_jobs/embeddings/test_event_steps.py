"""Counts of events, and the steps that they reach."""

from datetime import timedelta

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs.embeddings.event_steps import event_steps, item_event_counts, last_step
from spark_jobs.night import Night

NIGHT = Night.parse("2026-02-02")


def _event(user_id: str, item_id: str, hours: int, *, nights_ago: int = 0) -> tuple[object, ...]:
    occurred_at = NIGHT.start + timedelta(hours=hours)
    return (user_id, "page", item_id, "view", occurred_at, NIGHT.ds - timedelta(days=nights_ago))


def test_an_event_counts_once_on_the_night_that_delivered_it_first(
    spark: SparkSession,
) -> None:
    log = spark.createDataFrame(
        [
            _event("u", "a", -30, nights_ago=1),
            _event("u", "a", -30),  # delivered again
            _event("u", "a", 1),
            _event("v", "a", 2),
            _event("v", "b", 3),
            _event("v", "b", 24),  # not known yet
        ],
        "user_id string, domain string, item_id string, action string, "
        "occurred_at timestamp, ds date",
    )

    counts = item_event_counts(log, ds=NIGHT.ds, end=NIGHT.end).collect()

    found = {row["item_id"]: (row["n_events"], row["n_before"]) for row in counts}
    assert found == {"a": (3, 1), "b": (1, 0)}


def test_an_spu_has_the_events_of_its_items_and_none_without_any(spark: SparkSession) -> None:
    members = spark.createDataFrame(
        [("page", "a", "s1"), ("live", "a", "s1"), ("page", "b", "s2"), ("page", "c", "s3")],
        "domain string, item_id string, spu_id string",
    )
    counts = spark.createDataFrame(
        [("page", "a", 4, 4), ("live", "a", 1, 0), ("page", "b", 2, 0), ("page", "gone", 9, 9)],
        "domain string, item_id string, n_events long, n_before long",
    )

    tonight, before = (
        {
            row["spu_id"]: (row["n_events"], row["step"])
            for row in event_steps(members, counts, counted).collect()
        }
        for counted in ("n_events", "n_before")
    )

    assert tonight == {"s1": (5, 4), "s2": (2, 2)}
    assert before == {"s1": (4, 4)}


@pytest.mark.parametrize("most", [200, 3 << 40])
def test_steps_double_to_16_and_then_go_by_four(spark: SparkSession, most: int) -> None:
    steps = [1, 2, 4, 8, *(4**k for k in range(2, 30))]

    rows = spark.range(max(1, most - 150), most + 2).select("id", last_step(F.col("id"))).collect()

    assert len(rows) > 100
    assert {n: step for n, step in rows} == {n: max(s for s in steps if s <= n) for n, _ in rows}
