"""Where Spark's scratch goes; that a killed session's is found is tested end to end."""

from pathlib import Path

import pytest

from spark_jobs.config import SparkConfig
from spark_jobs.engine.session import scratch_setting

NAME = "spark.local.dir"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SPARK_LOCAL_DIRS", "SPARK_SUBMIT_MASTER", "PYSPARK_GATEWAY_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))


def test_scratch_of_one_machine_goes_into_the_warehouse(tmp_path: Path) -> None:
    (tmp_path / "spark-defaults.conf").write_text(f"# {NAME} /scratch\n")

    setting = scratch_setting(SparkConfig(), str(tmp_path / "tmp"))

    assert Path(setting[NAME]).is_relative_to(tmp_path.resolve() / "tmp")


def test_a_place_for_scratch_in_the_configuration_wins(tmp_path: Path) -> None:
    config = SparkConfig(conf={NAME: "/scratch"})

    assert scratch_setting(config, str(tmp_path / "tmp")) == {}


def test_a_place_for_scratch_in_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", "/scratch")

    assert scratch_setting(SparkConfig(), str(tmp_path / "tmp")) == {}


def test_a_place_for_scratch_in_the_defaults_of_spark_wins(tmp_path: Path) -> None:
    (tmp_path / "spark-defaults.conf").write_text(f"{NAME}  /scratch\n")

    assert scratch_setting(SparkConfig(), str(tmp_path / "tmp")) == {}


def test_a_cluster_keeps_scratch_where_its_executors_do(tmp_path: Path) -> None:
    config = SparkConfig(master="spark://master:7077")

    assert scratch_setting(config, str(tmp_path / "tmp")) == {}
    assert not (tmp_path / "warehouse").exists()
