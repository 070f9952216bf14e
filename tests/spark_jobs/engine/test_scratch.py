import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spark_jobs.engine import scratch
from spark_jobs.engine.disk import GB
from spark_jobs.engine.scratch import (
    claim_spark_scratch,
    left_behind,
    remove_left_behind,
)

CLAIM = """
import sys
from spark_jobs.engine.scratch import claim_spark_scratch
print(claim_spark_scratch(sys.argv[1]), flush=True)
sys.stdin.readline()
"""


@contextmanager
def another_process(warehouse: Path) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """Yield a process that has claimed scratch, and its folder, with a user's rows in it."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(warehouse)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    (folder / "blockmgr-1").mkdir()
    (folder / "blockmgr-1" / "shuffle_0_0_0.data").write_text("anna")
    try:
        yield process, folder
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "a shop" / "tmp"


def test_scratch_of_a_process_that_was_killed_is_left_behind(warehouse: Path) -> None:
    with another_process(warehouse) as (process, folder):
        process.send_signal(signal.SIGKILL)
        process.wait()

        assert left_behind(str(warehouse)) == [str(folder)]
        remove_left_behind(str(warehouse))

    assert not folder.exists()
    assert left_behind(str(warehouse)) == []


def test_scratch_of_a_running_process_stays_when_that_of_a_killed_one_is_removed(
    warehouse: Path,
) -> None:
    with another_process(warehouse) as (_, alive), another_process(warehouse) as (process, dead):
        process.send_signal(signal.SIGKILL)
        process.wait()

        assert left_behind(str(warehouse)) == [str(dead)]
        remove_left_behind(str(warehouse))

        assert not dead.exists()
        assert (alive / "blockmgr-1" / "shuffle_0_0_0.data").read_text() == "anna"


def test_a_process_that_ends_removes_its_scratch(warehouse: Path) -> None:
    with another_process(warehouse) as (process, folder):
        process.communicate("")

        assert process.returncode == 0
        assert not folder.exists()


def test_scratch_of_this_process_is_in_the_warehouse_and_stays(warehouse: Path) -> None:
    folder = claim_spark_scratch(str(warehouse))

    assert folder is not None
    remove_left_behind(str(warehouse))

    assert Path(folder).parent == (warehouse / "spark").resolve()
    assert Path(folder).is_dir()


def test_scratch_of_a_relative_warehouse_has_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    folder = claim_spark_scratch("warehouse")

    assert folder is not None
    assert folder.startswith(str(tmp_path.resolve()) + os.sep)


def test_files_that_stages_left_are_removed_too(warehouse: Path) -> None:
    half = warehouse / "item_features_x"
    half.mkdir(parents=True)
    (half / "part.parquet").touch()
    model = half.with_name("learn_training.safetensors")
    model.touch()

    assert left_behind(str(warehouse)) == [str(half), str(model)]
    remove_left_behind(str(warehouse))

    assert not half.exists()
    assert not model.exists()


def test_no_scratch_is_claimed_on_a_disk_that_is_nearly_full(
    warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "free_bytes", lambda place: GB - 1)

    assert claim_spark_scratch(str(warehouse)) is None
    assert not warehouse.exists()


@pytest.mark.parametrize("place", ["s3a://bucket/warehouse", "a,b/warehouse"])
def test_no_scratch_is_claimed_at_a_path_that_spark_cannot_use(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert claim_spark_scratch(place) is None
    assert list(tmp_path.iterdir()) == []
