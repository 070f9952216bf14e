"""The report of a night that the audit stops, with stages that do nothing."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest
from pyspark.sql import SparkSession

from spark_jobs.config import Config
from spark_jobs.night import Night
from spark_jobs.runs import night_run
from spark_jobs.warehouse.tables import Tables
from validation.results import AuditFailed, AuditReport, CheckResult

NIGHT = Night.parse("2026-01-31")


def stopped() -> AuditFailed:
    check = CheckResult("items", "few", False, "few", "many", None, "look")
    return AuditFailed(AuditReport(NIGHT, [check], {}), "docs")


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, Exception], Sequence[str]], list[str]]:
    """Run stages of which some raise; return the names of those that ran."""

    def run_(raised: dict[str, Exception], stages: Sequence[str]) -> list[str]:
        ran: list[str] = []

        def stage(name: str, *rest: object) -> list[object]:
            ran.append(name)
            if name in raised:
                raise raised[name]
            return []

        monkeypatch.setattr(night_run, "run_stage", stage)
        monkeypatch.setattr(night_run, "load_stage", lambda name: None)
        monkeypatch.setattr(night_run, "migrate", lambda tables: [])
        tables = Tables(cast(SparkSession, None), str(tmp_path))
        with suppress(*(type(error) for error in raised.values())):
            night_run.run_night(tables, Config(), NIGHT, stages=stages)
        return ran

    return run_


def test_the_report_of_a_stopped_night_is_written(run) -> None:
    failure = stopped()

    ran = run({"validation": failure}, ("spu", "validation", "publish", "report"))

    assert ran == ["spu", "validation", "report"]
    assert "reports/2026-01-31.html" in failure.__notes__[0]


def test_an_error_of_the_report_is_a_note_on_the_stop(run) -> None:
    failure, other = stopped(), RuntimeError("no space left")

    run({"validation": failure, "report": other}, ("validation", "report"))

    assert failure.__notes__ == ["no space left"]


@pytest.mark.parametrize(
    ("raised", "stages", "expected"),
    [
        (stopped(), ("validation", "publish"), ["validation"]),  # no report was requested
        (ValueError("bad feed"), ("validation", "report"), ["validation"]),
    ],
)
def test_no_report_is_written_after_other_errors(run, raised, stages, expected: list[str]) -> None:
    assert run({"validation": raised}, stages) == expected
