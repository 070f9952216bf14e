import pytest
from pyspark.sql import SparkSession

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
def test_changed_rows_sees_a_value_become_or_cease_to_be_null(
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
