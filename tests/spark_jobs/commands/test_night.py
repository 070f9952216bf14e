"""The output and the exit status of ``embedmill run``."""

import sys

import pytest
from rich.console import Console

from spark_jobs import cli
from spark_jobs.commands import night
from spark_jobs.night import Night
from spark_jobs.runs.night_run import StageResult
from spark_jobs.runs.stage import NightStopped, Step


def test_remarks_are_printed_below_the_table_unescaped_and_unwrapped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = Console(width=60, record=True)
    monkeypatch.setattr(night, "console", shown)
    remark = "value_unreadable 3, such as title '[bold]A title[/] that is longer than the line'"
    steps = [Step("pages", 3, 0, 3, remarks=(remark,)), Step("clips", 1, 1)]

    night.print_steps(Night.parse("2026-01-31"), [StageResult("ingest", steps, 1.0)])

    table, under = shown.export_text().split("\npages\n")
    assert "clips" in table
    assert under == f"  {remark}\n"


@pytest.mark.parametrize(("error", "status"), [(NightStopped("why"), 3), (ValueError("why"), 1)])
def test_a_stopped_night_ends_with_status_3_and_other_errors_with_1(
    monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    # The package of an error's class says that it is one of ours.
    ours = type("Ours", (type(error),), {"__module__": "spark_jobs.anything"})

    def stop() -> None:
        raise ours("why")

    monkeypatch.setattr(cli, "app", stop)
    monkeypatch.setattr(sys, "argv", ["embedmill"])

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == status
