"""Audit: check what a night staged, and the state that it leads to, before it is published."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from pyspark.sql import types as T

from spark_jobs.config import Config
from spark_jobs.contracts import ENCODED, PUBLISHED, QUARANTINE
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables
from validation.data_docs import SITE, write_page
from validation.great_expectations_run import ExpectationRuns
from validation.measurements.night import night_figures, schema_figures
from validation.measurements.rows import Profile, cached_profiles, served_limits
from validation.results import AuditReport, CheckResult
from validation.suites import CheckKey, NightCheck, figure_column, suite

AUDITED = (*(table.name for table in PUBLISHED), QUARANTINE.name)


def audit(tables: Tables, config: Config, night: Night) -> AuditReport:
    """Run every suite over tonight's staged rows and the state that they lead to.

    Writes the night's Data Docs (``Layout.night_data_docs``), and nothing else.

    Args:
        tables: the stages have staged tonight's rows in them.
        config: its ``[audit]`` holds limits, and whether Great Expectations writes its site too.
        night: the audited night.

    Returns:
        One result a check, failures included.
    """
    snapshot = Snapshot.of_stage(tables, night)
    # A backfill audits what it encodes: the other tables are published.
    audited = AUDITED if tables.backfills is None else tuple(ENCODED)
    profiled = [table for table in PUBLISHED if table.name in audited]
    figures = schema_figures(snapshot)
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        profiles: Mapping[str, Profile] = {}
        # Where a table breaks its contract, nothing else can be measured.
        if not any(figure.value for figure in figures):
            limits = served_limits(tables)
            measuring = pool.submit(night_figures, snapshot, limits)
            profiles = stack.enter_context(cached_profiles(snapshot, profiled, limits))
            figures += measuring.result()
        checks = [check for table in audited for check in suite(table, figures, config)]
        runs = ExpectationRuns(str(night))
        results = _check_figures(runs, tables, [c for c in checks if c.figure is not None])
        for table, profile in profiles.items():
            of_rows = [c for c in checks if c.table == table and c.figure is None]
            results += _check_rows(runs, profile, of_rows)
    report = AuditReport(night, results, {name: p.rows for name, p in profiles.items()})
    folder = tables.layout.night_data_docs(night, tables.backfills)
    site = config.audit.great_expectations_site
    write_page(folder, report, {c.key: c.check.evidence for c in checks}, links_site=site)
    if site:
        runs.write_site(f"{folder}/{SITE}")
    return report


def _check_figures(
    runs: ExpectationRuns, tables: Tables, checks: Sequence[NightCheck]
) -> list[CheckResult]:
    """Check the figures of all tables together, as a frame of one row."""
    measured = [check for check in checks if check.is_measured]
    verdicts: Mapping[CheckKey, Any] = {}
    if measured:
        values = {figure_column(c.figure): c.figure.value for c in measured if c.figure}
        columns = T.StructType([T.StructField(name, T.DoubleType()) for name in values])
        frame = local_frame(tables.spark, [tuple(values.values())], columns)
        verdicts = _by_check(runs.on_figures(frame, [check.expectation for check in measured]))
    return [_figure_result(check, verdicts.get(check.key)) for check in checks]


def _figure_result(check: NightCheck, verdict: Any) -> CheckResult:
    figure = check.figure
    if figure is None:
        raise ValueError(f"{check.name} of {check.table} is no check of a figure.")
    success = True if verdict is None else bool(verdict.success)
    return _result(check, success, seen=figure.seen, observed=figure.value)


def _check_rows(
    runs: ExpectationRuns, profile: Profile, checks: Sequence[NightCheck]
) -> list[CheckResult]:
    """Check every staged row of a table."""
    if profile.rows == 0:
        return [_result(check, True, seen="no rows tonight", observed=None) for check in checks]
    frame, expectations = profile.frame, [check.expectation for check in checks]
    verdicts = _by_check(runs.on_rows(f"{checks[0].table} rows", frame, expectations))
    return [_row_result(check, verdicts[check.key], profile.rows) for check in checks]


def _row_result(check: NightCheck, verdict: Any, rows: int) -> CheckResult:
    if verdict.success:
        return _result(check, True, seen=f"{rows:,} rows", observed=0.0)
    raised = [info["exception_message"] for info in _exceptions(verdict.exception_info)]
    if raised:
        seen = f"the check itself failed: {raised[0]}"
        return _result(check, False, seen=seen, observed=None)
    count = int(verdict.result["unexpected_count"])
    examples = list(dict.fromkeys(map(str, verdict.result["partial_unexpected_list"])))
    such_as = f", such as {', '.join(examples)}" if examples else ""
    seen = f"{count:,} of {rows:,} rows{such_as}"
    return _result(check, False, seen=seen, observed=count / rows)


def _exceptions(info: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what was raised; Great Expectations has one entry, or one a metric."""
    entries = [info] if "raised_exception" in info else list(info.values())
    return [entry for entry in entries if entry["raised_exception"]]


def _result(check: NightCheck, success: bool, *, seen: str, observed: float | None) -> CheckResult:
    # What is observed of rows is the share that fails, whatever limits their column has.
    has_limits = check.figure is not None and observed is not None
    return CheckResult(
        table_name=check.table,
        check_name=check.check.name,
        measure=check.measure,
        step=check.figure.step if check.figure else None,
        encoder_version=check.figure.encoder_version if check.figure else None,
        success=success,
        expected=check.expected,
        seen=seen,
        observed=observed,
        advice=check.check.advice,
        at_least=check.at_least if has_limits else None,
        at_most=check.at_most if has_limits else None,
    )


def _by_check(verdicts: Sequence[Any]) -> dict[CheckKey, Any]:
    metas = [verdict.expectation_config.meta for verdict in verdicts]
    return {(m["table"], m["check"]): v for m, v in zip(metas, verdicts, strict=True)}
