"""A week of nights under Airflow, beside the same nights in one process.

``airflow_week.py make FOLDER ENCODERS`` writes a shop of 1,000 pages and the feeds of the last
seven days, releases the encoders (of ``trained_encoders.py``) in two warehouses, and runs the week
in the one. Run it under Airflow in the other, as it says; stop Airflow in the middle of a stage and
start it again.
``airflow_week.py compare FOLDER`` then says whether all tables of the two are the same.
"""

import json
import logging
import shutil
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from catalogue import write_week

from spark_jobs.config import Config, load_config
from spark_jobs.contracts import PUBLISHED
from spark_jobs.engine.session import build_session
from spark_jobs.night import Night
from spark_jobs.releases.transitions import create_release, promote
from spark_jobs.runs.night_run import run_night
from spark_jobs.warehouse.tables import Tables

WAYS = ("process", "airflow")


def make(folder: Path, encoders: Path) -> None:
    """Write the shop, release the encoders in both warehouses, run the week in one process."""
    today = datetime.now(UTC).date()
    nights = [str(today - timedelta(days=back)) for back in range(7, 0, -1)]
    text = write_week(folder, 1000, nights)
    for way in WAYS:
        config_file = _config_file(folder, way)
        config_file.write_text(text.replace(str(folder / "warehouse"), str(folder / way)))
        shutil.copytree(encoders, folder / way / "encoders")
        tables = _open(folder, load_config(config_file))
        create_release(tables, json.loads((encoders.parent / "release.json").read_text()))
        promote(tables, "r1")
    config = load_config(_config_file(folder, "process"))
    for ds in nights:
        started = time.perf_counter()
        run_night(_open(folder, config), config, Night.parse(ds))
        _say(f"{ds} {time.perf_counter() - started:.0f} s in one process")
    config_file = _config_file(folder, "airflow")
    _say(f"EMBEDMILL_FIRST_NIGHT={nights[0]} make airflow CONFIG={config_file}")
    _say("scripts/airflow dags unpause nightly_embeddings")


def compare(folder: Path) -> None:
    """Say of each table whether both ways ended in the same rows."""
    pair = [_open(folder, load_config(_config_file(folder, way))) for way in WAYS]
    for table in PUBLISHED:
        process, airflow = (tables.checksum(table) for tables in pair)
        _say(f"{table.name}: {'the same' if process == airflow else f'{process} and {airflow}'}")


def _config_file(folder: Path, way: str) -> Path:
    return folder / f"{way}.toml"


def _open(folder: Path, config: Config) -> Tables:
    return Tables(build_session(config.spark, log=folder / "spark.log"), config.warehouse)


def _say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    verb, shop, *rest = sys.argv[1:]
    if verb == "make":
        make(Path(shop).absolute(), Path(rest[0]))
    else:
        compare(Path(shop).absolute())
