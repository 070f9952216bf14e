"""Histories against a plain sort, and which users a night touches."""

import hashlib
from datetime import UTC, datetime

import pytest
from pyspark.sql import DataFrame, SparkSession

from spark_jobs.embeddings.histories import (
    histories,
    item_contents,
    spu_contents,
    touched_users,
)
from spark_jobs.engine.local_frames import local_frame

EVENT_DDL = "user_id string, domain string, item_id string, action string, occurred_at timestamp"
END = datetime(2026, 2, 1, tzinfo=UTC)


def at(hour: int) -> datetime:
    return datetime(2026, 1, 31, hour, tzinfo=UTC)


def events(spark: SparkSession, rows: list[tuple[object, ...]]) -> DataFrame:
    return local_frame(spark, rows, EVENT_DDL)


@pytest.fixture
def contents(spark: SparkSession) -> DataFrame:
    rows = [("page", item, f"hash {item}", number) for number, item in enumerate("abc")]
    return local_frame(spark, rows, "domain string, item_id string, content_hash string, row int")


def test_histories_hold_the_last_known_events_in_order(
    spark: SparkSession, contents: DataFrame
) -> None:
    log = events(
        spark,
        [
            ("u", "page", "b", "view", at(3)),
            ("u", "page", "a", "view", at(1)),
            ("u", "page", "c", "view", at(2)),
            ("u", "page", "a", "click", at(2)),
            ("u", "page", "b", "view", at(3)),  # delivered twice
            ("u", "page", "unknown", "view", at(4)),
            ("u", "page", "c", "view", END),  # known only tomorrow
            ("v", "page", "unknown", "view", at(5)),
        ],
    )

    rows = histories(log, contents, end=END, max_history=3).collect()

    met = "hash a:1,hash c:1,hash b:0"
    assert [tuple(row) for row in rows] == [
        ("u", 3, [0, 2, 1], [1, 1, 0], hashlib.sha256(met.encode()).hexdigest())
    ]


def test_spu_contents_differ_where_prompts_are_equal_and_change_with_them(
    spark: SparkSession,
) -> None:
    columns = "spu_id string, content_hash string"
    prompts = local_frame(spark, [("s1", "same"), ("s2", "same")], columns)
    later = local_frame(spark, [("s1", "same"), ("s2", "other")], columns)

    first, second = (
        {row["spu_id"]: row for row in spu_contents(frame).collect()} for frame in (prompts, later)
    )

    assert first["s1"]["prompt_hash"] == "same"
    assert first["s1"]["content_hash"] != first["s2"]["content_hash"]
    assert second["s1"] == first["s1"]
    assert second["s2"]["content_hash"] != first["s2"]["content_hash"]


def test_touched_users_are_active_or_met_an_item_whose_content_changed(spark: SparkSession) -> None:
    log = events(
        spark,
        [(user, "page", item, "view", at(1)) for user, item in zip("uvwxy", "abcde", strict=True)],
    )
    columns = "domain string, item_id string, content_hash string"
    before = local_frame(
        spark, [("page", item, content) for item, content in ("a1", "b1", "c1", "e1")], columns
    )
    tonight = local_frame(
        spark, [("page", item, content) for item, content in ("a1", "b2", "d1", "e1")], columns
    )

    touched = touched_users(log, log.filter("user_id = 'y'"), before, tonight).collect()

    assert sorted(row["user_id"] for row in touched) == ["v", "w", "x", "y"]


def test_item_contents_leaves_out_items_of_no_spu(spark: SparkSession) -> None:
    members = local_frame(
        spark,
        [("page", "a", "s1"), ("live", "b", "s2")],
        "domain string, item_id string, spu_id string",
    )
    prompts = local_frame(spark, [("s1", "hash")], "spu_id string, content_hash string")

    rows = item_contents(members, prompts).collect()

    assert [tuple(row) for row in rows] == [("page", "a", "hash")]
