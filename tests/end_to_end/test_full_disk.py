"""A night on a disk that is really full says so, breaks nothing, and ends well once there is room.

Root is needed: the disk is a small file system of its own, in memory.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spark_jobs import contracts
from spark_jobs.demo.shop.three_nights import NIGHTS
from spark_jobs.night import Night
from spark_jobs.runs.night_run import run_night

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

FIRST = Night.parse(NIGHTS[0])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 GB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1g", "embedmill-test", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    # Lazily: the session's Spark may hold a file of it open.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_night_that_fills_the_disk_goes_on_once_there_is_room(
    disk: Path, open_warehouse: Callable
) -> None:
    whole, filled = open_warehouse(), open_warehouse()
    warehouse = Path(filled.config.warehouse)
    before = _bytes_in(warehouse)
    run_night(whole.tables, whole.config, FIRST)
    written = _bytes_in(Path(whole.config.warehouse)) - before
    shutil.move(warehouse, disk / "warehouse")
    warehouse.symlink_to(disk / "warehouse")
    text = filled.config_file.read_text()
    filled.config_file.write_text(f"min_free_gb = 0.0\n{text}")

    # Further on each time, and never room for all that is left to write.
    for share in (0, 0.25, 0.4):
        said = _run_with(int(share * written), disk, filled.config_file)
        assert "Traceback" not in said, said
        assert "Free some" in said, said

    (disk / "filler").unlink()
    run_night(filled.tables, filled.config, FIRST)
    for table in contracts.PUBLISHED:
        assert filled.tables.checksum(table) == whole.tables.checksum(table), table.name


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _run_with(room: int, disk: Path, config_file: Path) -> str:
    """Run the night with so many bytes of disk left; return what it said as it failed."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    free = shutil.disk_usage(disk).free
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - room))
    command = [sys.executable, "-m", "spark_jobs.cli", "run"]
    run = subprocess.run(
        [*command, "--config", str(config_file), "--ds", str(FIRST)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, f"ended with {run.returncode}:\n{run.stdout}\n{run.stderr}"
    return run.stdout + run.stderr
