"""A small shop whose first night is grouped, and whose first release is trained: made once."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from spark_jobs.config import Config, load_config
from spark_jobs.demo.shop.build import build_shop, demo_config
from spark_jobs.demo.shop.catalogue import ShopSize
from spark_jobs.demo.shop.three_nights import NIGHTS
from spark_jobs.night import Night
from spark_jobs.releases.transitions import create_release, promote
from spark_jobs.runs.night_run import run_night, stages_between
from spark_jobs.warehouse.tables import Tables

SMALL = ShopSize(
    products=40,
    new_products=2,
    videos=16,
    frames=3,
    rooms=3,
    slices_per_room=3,
    slice_frames=2,
    users=120,
)
FIRST, SECOND, THIRD = (Night.parse(ds) for ds in NIGHTS)
_START_LIMIT_S = 180


@dataclass(frozen=True)
class Warehouse:
    """A warehouse of its own for a test, with the first release trained and promoted."""

    tables: Tables
    config: Config
    config_file: Path
    shop: Path


@pytest.fixture(scope="session")
def trained(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the shop, a configuration, and a warehouse with nothing published yet."""
    from spark_jobs.training.cope_job import train_cope
    from spark_jobs.training.learn_job import train_learn

    folder = tmp_path_factory.mktemp("trained")
    build_shop(folder, 11, size=SMALL)
    warehouse = _opened(folder, folder, spark)
    tables, config = warehouse.tables, warehouse.config
    run_night(tables, config, FIRST, stages=stages_between("ingest", "spu"))
    encoders = train_cope(tables, config, FIRST) | train_learn(tables, config, FIRST)
    create_release(tables, encoders)
    promote(tables, "r1")
    return folder


@pytest.fixture(scope="session")
def open_warehouse(
    trained: Path, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Warehouse]:
    """Return a function that opens a fresh copy of the trained warehouse."""

    def opened() -> Warehouse:
        folder = tmp_path_factory.mktemp("night")
        shutil.copytree(trained / "warehouse", folder / "warehouse")
        return _opened(trained, folder, spark)

    return opened


@pytest.fixture(scope="session")
def kill_in() -> Callable[..., None]:
    """Return a function that starts a night at a stage and kills it while the stage is at work."""

    def killed(stage: str, warehouse: Warehouse, night: Night, *, after: float) -> None:
        log = Path(warehouse.config.warehouse) / "logs" / "embedmill.log"
        line = f"{stage} night={night} started"
        before = log.read_text().count(line) if log.exists() else 0
        command = [sys.executable, "-m", "spark_jobs.cli", "run", "--from", stage]
        run = subprocess.Popen(
            [*command, "--config", str(warehouse.config_file), "--ds", str(night)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_LIMIT_S
        while not (log.exists() and log.read_text().count(line) > before):
            assert run.poll() is None, f"{stage}: the run ended by itself with {run.returncode}"
            assert time.monotonic() < deadline, f"{stage} did not start"
            time.sleep(0.05)
        time.sleep(after)
        # With all that it started.
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()

    return killed


def _opened(shop: Path, folder: Path, spark: SparkSession) -> Warehouse:
    config_file = folder / "config.toml"
    config_file.write_text(demo_config(shop, folder / "warehouse"), encoding="utf-8")
    config = load_config(config_file)
    return Warehouse(Tables(spark, config.warehouse), config, config_file, shop)
