import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs.engine.local_frames import local_frame
from spark_jobs.warehouse.change_log import changed_rows, latest_rows

COLUMNS = "key string, label string, tags map<string,string>"


def test_changed_rows_holds_new_changed_and_vanished_keys(spark: SparkSession) -> None:
    before = local_frame(
        spark, [("same", "a", {"x": "1"}), ("changed", "a", None), ("gone", "a", None)], COLUMNS
    )
    tonight = local_frame(
        spark, [("same", "a", {"x": "1"}), ("changed", "b", None), ("new", "a", None)], COLUMNS
    )

    changes = changed_rows(before, tonight, keys=["key"], payload=["label", "tags"])

    rows = changes.select("key", "label", "is_active").collect()
    expected = [("changed", "b", True), ("gone", "a", False), ("new", "a", True)]
    assert sorted(tuple(row) for row in rows) == expected


@pytest.mark.parametrize(("old", "new"), [(None, "a"), ("a", None)])
def test_changed_rows_includes_a_value_that_becomes_or_ceases_to_be_null(
    spark: SparkSession, old: str | None, new: str | None
) -> None:
    before = local_frame(spark, [("k", old, None)], COLUMNS)
    tonight = local_frame(spark, [("k", new, None)], COLUMNS)

    changes = changed_rows(before, tonight, keys=["key"], payload=["label"])

    assert [(row["key"], row["label"]) for row in changes.collect()] == [("k", new)]


def test_changed_rows_ignores_columns_outside_the_payload(spark: SparkSession) -> None:
    before = local_frame(spark, [("k", "a", {"x": "1"})], COLUMNS)
    tonight = local_frame(spark, [("k", "a", {"x": "2"})], COLUMNS)

    assert changed_rows(before, tonight, keys=["key"], payload=["label"]).isEmpty()


def test_latest_rows_keeps_the_newest_row_of_each_key(spark: SparkSession) -> None:
    log = local_frame(
        spark,
        [("a", 1, "old"), ("a", 2, "new"), ("b", 1, "only")],
        "key string, event_timestamp int, label string",
    )

    rows = latest_rows(log, ["key"]).select("key", "label").collect()

    assert sorted(tuple(row) for row in rows) == [("a", "new"), ("b", "only")]


def test_latest_rows_keeps_removed_keys(spark: SparkSession) -> None:
    log = local_frame(
        spark,
        [("a", 1, True), ("a", 2, False)],
        "key string, event_timestamp int, is_active boolean",
    )

    assert [row["is_active"] for row in latest_rows(log, ["key"]).collect()] == [False]


def test_changed_rows_compares_by_all_key_columns(spark: SparkSession) -> None:
    columns = "domain string, id string, label string"
    before = local_frame(spark, [("page", "1", "a"), ("video", "1", "b")], columns)
    tonight = local_frame(spark, [("page", "1", "b"), ("video", "1", "b")], columns)

    changes = changed_rows(before, tonight, keys=["domain", "id"], payload=["label"])

    assert [tuple(row) for row in changes.collect()] == [("page", "1", "b", True)]


def test_changed_rows_of_equal_states_are_none(spark: SparkSession) -> None:
    rows = [("a", None, {"x": "1"}), ("b", "b", None)]
    before, tonight = local_frame(spark, rows, COLUMNS), local_frame(spark, rows[::-1], COLUMNS)

    assert changed_rows(before, tonight, keys=["key"], payload=["label", "tags"]).isEmpty()


def test_changed_rows_appended_to_the_log_fold_into_tonights_state(spark: SparkSession) -> None:
    log = local_frame(
        spark,
        [("same", "a", True, 1), ("changed", "a", True, 1), ("gone", "a", True, 1)],
        "key string, label string, is_active boolean, event_timestamp int",
    )
    before = latest_rows(log, ["key"]).filter("is_active").select("key", "label")
    tonight = local_frame(
        spark, [("same", "a"), ("changed", "b"), ("new", "c")], "key string, label string"
    )

    changes = changed_rows(before, tonight, keys=["key"], payload=["label"])
    appended = log.unionByName(changes.withColumn("event_timestamp", F.lit(2)))

    state = latest_rows(appended, ["key"]).filter("is_active").select("key", "label")
    assert sorted(map(tuple, state.collect())) == sorted(map(tuple, tonight.collect()))
