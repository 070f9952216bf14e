import sys

from pyspark.sql import SparkSession

from spark_jobs.python_daemon import preload


def imported(_: object) -> list[bool]:
    return [name in sys.modules for name in ("torch", "transformers", "encoders.loading")]


def test_preload_passes_over_a_library_that_is_not_there(monkeypatch) -> None:
    monkeypatch.setattr("spark_jobs.python_daemon._PRELOADED", ("no_such_library", "wave"))
    sys.modules.pop("wave", None)

    preload()

    assert "wave" in sys.modules


def test_workers_are_born_with_the_model_libraries(spark: SparkSession) -> None:
    (found,) = spark.sparkContext.parallelize([0], 1).map(imported).collect()

    assert found == [True, True, True]
