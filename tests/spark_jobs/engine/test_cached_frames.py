from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.engine.cached_frames import cached, with_short_plan


@pytest.fixture
def counted(spark: SparkSession, tmp_path: Path) -> tuple[DataFrame, Path]:
    """Three rows behind a few steps, and a file that gets a line whenever they are computed."""
    log = tmp_path / "computed"

    def noted(batches):
        with log.open("a") as file:
            file.write("once\n")
        yield from batches

    rows = spark.range(3, numPartitions=1).mapInArrow(noted, "id long")
    return rows.withColumn("double", F.col("id") * 2).filter("double > 0"), log


def plan(rows: DataFrame) -> str:
    return str(rows._jdf.queryExecution().analyzed().toString())


def test_a_cached_frame_is_computed_once_and_has_a_plan_of_one_step(
    counted: tuple[DataFrame, Path],
) -> None:
    rows, log = counted

    with cached(rows) as kept:
        assert len(plan(kept).splitlines()) == 1
        assert kept.columns == rows.columns
        doubled = kept.join(kept.select("id"), on="id")
        assert [tuple(row) for row in doubled.orderBy("id").collect()] == [(1, 2), (2, 4)]
        assert kept.count() == 2

    assert log.read_text() == "once\n"
    assert not rows.is_cached


def test_rows_lost_from_memory_are_computed_again(counted: tuple[DataFrame, Path]) -> None:
    rows, log = counted
    with cached(rows) as kept:
        assert kept.count() == 2

        rows.unpersist(blocking=True)

        assert kept.count() == 2
    assert log.read_text() == "once\nonce\n"


def test_a_frame_that_was_planned_before_it_was_kept_is_computed_once(
    counted: tuple[DataFrame, Path],
) -> None:
    rows, log = counted
    assert rows.count() == 2
    rows.persist()

    short = with_short_plan(rows)

    assert [short.count(), short.count()] == [2, 2]
    assert log.read_text() == "once\n" * 2
    rows.unpersist()


def test_nothing_stays_in_memory_after_an_error(spark: SparkSession) -> None:
    rows = spark.range(1)

    with pytest.raises(ZeroDivisionError), cached(rows) as kept:
        _ = kept.count() / 0

    assert not rows.is_cached
