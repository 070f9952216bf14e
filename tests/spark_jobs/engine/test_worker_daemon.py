import gc
import sys

from pyspark.sql import SparkSession

from spark_jobs.engine.worker_daemon import preload


def imported(_: object) -> list[bool]:
    return [name in sys.modules for name in ("torch", "transformers", "encoders.loading")]


def housekeeping(_: object) -> tuple[list[str], int]:
    return [path for path in sys.path if path.endswith(".jar")], gc.get_freeze_count()


def test_preload_skips_a_library_that_is_not_installed(monkeypatch) -> None:
    monkeypatch.setattr("spark_jobs.engine.worker_daemon._PRELOADED", ("no_such_library", "wave"))
    sys.modules.pop("wave", None)

    preload()

    assert "wave" in sys.modules


def test_workers_start_with_the_model_libraries_imported(spark: SparkSession) -> None:
    (found,) = spark.sparkContext.parallelize([0], 1).map(imported).collect()

    assert found == [True, True, True]


def test_workers_have_no_jars_on_the_path_and_preloaded_objects_frozen(
    spark: SparkSession,
) -> None:
    ((jars, frozen),) = spark.sparkContext.parallelize([0], 1).map(housekeeping).collect()

    assert jars == []
    assert frozen > 100_000  # torch alone
