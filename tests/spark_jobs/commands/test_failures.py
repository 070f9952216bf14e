"""A command that fails ends with one message, in its log too."""

import logging
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from spark_jobs import cli
from spark_jobs.commands.session import OURS, log_to
from spark_jobs.releases.ledger import UnknownRelease


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Loggers as they were."""
    loggers = [logging.getLogger(package) for package in OURS]
    before = [list(logger.handlers) for logger in loggers]
    yield
    for logger, handlers in zip(loggers, before, strict=True):
        logger.handlers[:] = handlers


def ended_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(cli, "app", Mock(side_effect=error))
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert isinstance(end.value.code, int)
    return end.value.code


def test_an_error_of_ours_is_one_message_on_the_terminal_and_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to(tmp_path / "logs" / "embedmill.log")

    assert ended_with(UnknownRelease("no release 'r9'; there are r1."), monkeypatch) == 1

    for text in (capsys.readouterr().err, (tmp_path / "logs" / "embedmill.log").read_text()):
        assert "no release 'r9'; there are r1." in text


def test_an_unexpected_error_leaves_its_traceback_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_to(tmp_path / "embedmill.log")
    monkeypatch.setattr(cli, "app", Mock(side_effect=ZeroDivisionError("one by none")))

    with pytest.raises(ZeroDivisionError):
        cli.main()

    text = (tmp_path / "embedmill.log").read_text()
    assert "Traceback" in text
    assert "ZeroDivisionError: one by none" in text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_log_on_a_full_disk_adds_nothing_to_the_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to(Path("/dev/full"))

    ended_with(UnknownRelease("no release 'r9'"), monkeypatch)

    text = capsys.readouterr().err
    assert "no release 'r9'" in text
    assert "Traceback" not in text
