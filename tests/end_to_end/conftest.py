"""A small shop whose first night is grouped, and whose first release is trained: made once."""

import shutil
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


def _opened(shop: Path, folder: Path, spark: SparkSession) -> Warehouse:
    config_file = folder / "config.toml"
    config_file.write_text(demo_config(shop, folder / "warehouse"), encoding="utf-8")
    config = load_config(config_file)
    return Warehouse(Tables(spark, config.warehouse), config, config_file, shop)
