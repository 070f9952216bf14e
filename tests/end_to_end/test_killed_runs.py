"""A run that is killed in any stage, and run again, ends in the tables of an uninterrupted one."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from spark_jobs import contracts
from spark_jobs.demo.shop.three_nights import NIGHTS
from spark_jobs.engine.scratch import remove_left_behind
from spark_jobs.night import Night
from spark_jobs.runs.night_run import run_night
from spark_jobs.runs.stage import STAGES

FIRST = Night.parse(NIGHTS[0])
START_LIMIT_S = 180


def killed_in(stage: str, config_file: Path, log: Path, delay: float) -> None:
    """Start a night at a stage and kill it, and all that it started, while the stage is at work."""
    before = log.read_text().count(f"{stage} night={FIRST} started") if log.exists() else 0
    command = [sys.executable, "-m", "spark_jobs.cli", "run", "--config", str(config_file)]
    run = subprocess.Popen(
        [*command, "--ds", str(FIRST), "--from", stage],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + START_LIMIT_S
    while not (log.exists() and log.read_text().count(f"{stage} night={FIRST} started") > before):
        assert run.poll() is None, f"{stage}: the run ended by itself with {run.returncode}"
        assert time.monotonic() < deadline, f"{stage} did not start"
        time.sleep(0.05)
    time.sleep(delay)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()


@pytest.mark.parametrize(
    "stages",
    [
        # A stage that runs models, and one that writes what is served.
        pytest.param(("item_embeddings", "publish"), id="two stages"),
        pytest.param(STAGES, id="every stage", marks=pytest.mark.slow),
    ],
)
def test_a_night_that_is_killed_ends_like_an_uninterrupted_one(
    open_warehouse: Callable, stages: Sequence[str]
) -> None:
    whole, killed = open_warehouse(), open_warehouse()
    run_night(whole.tables, whole.config, FIRST)
    log = Path(killed.config.warehouse) / "logs" / "embedmill.log"
    chance = random.Random(5)

    for stage in STAGES:
        if stage in stages:
            killed_in(stage, killed.config_file, log, delay=chance.uniform(0.5, 4.0))
        run_night(killed.tables, killed.config, FIRST, stages=[stage])

    for table in contracts.PUBLISHED:
        assert killed.tables.checksum(table) == whole.tables.checksum(table), table.name


SESSION = """
import sys, time
from pathlib import Path
from spark_jobs.config import SparkConfig
from spark_jobs.engine.session import build_session
warehouse = Path(sys.argv[1])
# As they are, so that the test finds them.
conf = {"spark.shuffle.compress": "false", "spark.shuffle.spill.compress": "false"}
spark = build_session(
    SparkConfig("local[1]", driver_memory="1g", conf=conf),
    log=warehouse / "logs" / "spark.log",
    quick=True,
    scratch=str(warehouse / "tmp"),
)
users = spark.range(1000).selectExpr("concat('anna-5f0e1c77-', id) AS user_id")
users.repartition(3).persist().count()
spark.createDataFrame([("anna-5f0e1c77-frame",)], "user_id string").count()
print("at work", flush=True)
time.sleep(600)
"""


@pytest.mark.spark  # in a process of its own
def test_a_killed_session_leaves_rows_in_the_warehouse_alone_and_they_are_removed(
    tmp_path: Path,
) -> None:
    warehouse, elsewhere = tmp_path / "a shop" / "warehouse", tmp_path / "elsewhere"
    (elsewhere / "java").mkdir(parents=True)
    environment = os.environ | {
        "TMPDIR": str(elsewhere),
        "JAVA_TOOL_OPTIONS": f"-Djava.io.tmpdir={elsewhere / 'java'}",
    }
    environment.pop("SPARK_LOCAL_DIRS", None)
    run = subprocess.Popen(
        [sys.executable, "-c", SESSION, str(warehouse)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "at work\n"
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()

    assert holding_rows(warehouse)
    assert holding_rows(elsewhere) == []
    remove_left_behind(str(warehouse / "tmp"))
    assert holding_rows(warehouse) == []


def holding_rows(folder: Path) -> list[Path]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return [file for file in files if b"anna-5f0e1c77" in file.read_bytes()]
