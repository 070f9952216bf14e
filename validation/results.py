"""Results of an audit: one a check, the report of a night, and the error that stops it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from spark_jobs.night import Night
from spark_jobs.runs.stage import NightStopped
from spark_jobs.warehouse.ledgers import check_label


@dataclass(frozen=True)
class CheckResult:
    """Outcome of one check of one table: a row of ``audit_results``.

    Attributes:
        check_name: the check, such as ``coverage``.
        expected: for people, limit included.
        seen: for people.
        observed: the figure that is compared with the limits; None where there was nothing to
            measure.
        advice: what to do where the check failed.
        at_least: least that ``observed`` may be; None where there is no such limit.
        at_most: most that it may be.
        measure: figure or columns held against the limit; None where the check has only one.
        step: stage and step whose rows were counted, of checks of quarantine.
        encoder_version: encoder whose rows were checked; None where it is about all rows.
    """

    table_name: str
    check_name: str
    success: bool
    expected: str
    seen: str
    observed: float | None
    advice: str
    at_least: float | None = None
    at_most: float | None = None
    measure: str | None = None
    step: str | None = None
    encoder_version: str | None = None

    @property
    def name(self) -> str:
        """Return the check for people, such as ``coverage(cope@...)``."""
        return check_label(self.check_name, self.measure, self.step, self.encoder_version)


@dataclass(frozen=True)
class AuditReport:
    """Every check of a night, and the staged rows that were audited by table."""

    night: Night
    results: Sequence[CheckResult]
    rows: dict[str, int]

    @property
    def failures(self) -> list[CheckResult]:
        return [result for result in self.results if not result.success]


class AuditFailed(NightStopped):
    """A check failed: tonight's rows must not be published. ``report`` holds every result."""

    reported: ClassVar[bool] = True

    def __init__(self, report: AuditReport, data_docs: str) -> None:
        self.report = report
        super().__init__(_message(report, data_docs))


def _message(report: AuditReport, data_docs: str) -> str:
    failures = report.failures
    lines = [
        f"night {report.night} was stopped by the audit: {len(failures)} of "
        f"{len(report.results)} checks failed. Nothing was published."
    ]
    for failure in failures:
        lines += [
            f"- {failure.table_name}, {failure.name}",
            f"    expected: {failure.expected}",
            f"    seen:     {failure.seen}",
            f"    do:       {failure.advice}",
        ]
    lines.append(f"All checks: table audit_results, or {data_docs}/index.html")
    return "\n".join(lines)
