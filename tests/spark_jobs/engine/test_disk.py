import errno
from pathlib import Path
from unittest.mock import Mock

import pytest

from spark_jobs import cli
from spark_jobs.engine.disk import GB, DiskFull, enough_disk, free_bytes, is_disk_full
from spark_jobs.night import Night

NIGHT = Night.parse("2026-01-31")


def test_a_stage_does_not_start_with_less_free_space_than_required(tmp_path: Path) -> None:
    started = False

    with (
        pytest.raises(DiskFull, match=r"ingest.*should have 1\.0 EB of free disk"),
        enough_disk(str(tmp_path), 1e9 * GB, NIGHT, "ingest"),
    ):
        started = True

    assert not started


def test_free_space_is_required_for_the_bytes_that_a_stage_writes(tmp_path: Path) -> None:
    free = free_bytes(str(tmp_path))
    assert free is not None

    with (
        pytest.raises(DiskFull, match="publish"),
        enough_disk(str(tmp_path), 0, NIGHT, "publish", writes=2 * free),
    ):
        pass


def test_no_free_space_is_required_of_an_object_store() -> None:
    with enough_disk("s3a://bucket/warehouse", 0, NIGHT, "publish", writes=10**18):
        pass


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("java.io.IOException: No space left on device"),
        RuntimeError("database or disk is full"),
    ],
)
def test_a_full_disk_is_reported_as_disk_full(tmp_path: Path, error: Exception) -> None:
    with (
        pytest.raises(DiskFull, match=r"ran full.*run the night again") as raised,
        enough_disk(str(tmp_path), 0, NIGHT, "spu"),
    ):
        raise error

    assert raised.value.__cause__ is error


def test_another_error_is_raised_unchanged(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="broken"),
        enough_disk(str(tmp_path), 0, NIGHT, "spu"),
    ):
        raise ValueError("broken")
    assert not is_disk_full(ValueError("broken"))


def test_a_folder_that_does_not_exist_yet_is_on_the_disk_of_its_parent(tmp_path: Path) -> None:
    parent, missing = free_bytes(str(tmp_path)), free_bytes(str(tmp_path / "a" / "b"))

    assert parent is not None
    assert missing is not None
    assert abs(parent - missing) < GB


def test_a_command_reports_a_full_disk_in_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(cli, "app", full)

    with pytest.raises(SystemExit) as ended:
        cli.main()

    printed = capsys.readouterr().err
    assert ended.value.code == 1
    assert "embedmill maintain" in printed
    assert "run the same command again" in printed


def test_a_command_does_not_hide_another_error_of_a_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cli, "app", Mock(side_effect=ZeroDivisionError("a defect")))

    with pytest.raises(ZeroDivisionError, match="a defect"):
        cli.main()
