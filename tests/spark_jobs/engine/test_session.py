"""The folder of Spark's scratch. A killed session's folder is found: tested end to end."""

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


def test_scratch_of_one_machine_is_below_the_folder_given(tmp_path: Path) -> None:
    (tmp_path / "spark-defaults.conf").write_text(f"# {NAME} /scratch\n")

    setting = scratch_setting(SparkConfig(), str(tmp_path / "warehouse" / "tmp"))

    assert Path(setting[NAME]).is_relative_to(tmp_path.resolve() / "warehouse" / "tmp")


def test_a_scratch_folder_in_the_configuration_wins(tmp_path: Path) -> None:
    config = SparkConfig(conf={NAME: "/scratch"})

    assert scratch_setting(config, str(tmp_path / "warehouse")) == {}


def test_a_scratch_folder_in_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", "/scratch")

    assert scratch_setting(SparkConfig(), str(tmp_path / "warehouse")) == {}


def test_a_scratch_folder_in_the_defaults_of_spark_wins(tmp_path: Path) -> None:
    (tmp_path / "spark-defaults.conf").write_text(f"{NAME}  /scratch\n")

    assert scratch_setting(SparkConfig(), str(tmp_path / "warehouse")) == {}


def test_no_scratch_is_claimed_for_a_cluster(tmp_path: Path) -> None:
    config = SparkConfig(master="spark://master:7077")

    assert scratch_setting(config, str(tmp_path / "warehouse")) == {}
    assert not (tmp_path / "warehouse").exists()
