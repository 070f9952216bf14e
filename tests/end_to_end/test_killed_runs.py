"""A run that is killed in any stage, and run again, ends in the tables of an uninterrupted one."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from spark_jobs import contracts
from spark_jobs.demo.three_nights import NIGHTS
from spark_jobs.night_run import run_night
from spark_jobs.nights import Night
from spark_jobs.stage import STAGES

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


def test_a_night_killed_in_every_stage_ends_like_an_uninterrupted_one(
    open_warehouse: Callable,
) -> None:
    whole, killed = open_warehouse(), open_warehouse()
    run_night(whole.tables, whole.config, FIRST)
    log = Path(killed.config.warehouse) / "logs" / "embedmill.log"
    chance = random.Random(5)

    for stage in STAGES:
        killed_in(stage, killed.config_file, log, delay=chance.uniform(0.5, 4.0))
        run_night(killed.tables, killed.config, FIRST, stages=[stage])

    for table in contracts.PUBLISHED:
        assert killed.tables.checksum(table) == whole.tables.checksum(table), table.name
