"""Audit: may tonight's rows be published?"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from great_expectations.expectations.expectation import Expectation
from pyspark.sql import types as T

from spark_jobs.config import Config
from spark_jobs.contracts import ENCODED, PUBLISHED
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.warehouse.ledgers import CHECK_PARTS
from spark_jobs.warehouse.tables import Tables
from validation.checks import AuditReport, CheckResult
from validation.evidence import gather, schema_figures
from validation.expectation_runs import ExpectationRuns
from validation.figures import Figure
from validation.limits import served_limits
from validation.profiles import Profile, kept_profiles
from validation.suites import (
    interactions,
    item_embeddings,
    items,
    quarantine,
    spu_embeddings,
    spu_events,
    spu_members,
    spu_preference_embeddings,
    spu_semantic_ids,
    spus,
    user_embeddings,
)
from validation.words import column_of, has_value, is_about_figure

Suite = Callable[[Sequence[Figure], Config], list[Expectation]]

SUITES: Mapping[str, Suite] = {
    "items": items.suite,
    "interactions": interactions.suite,
    "spus": spus.suite,
    "spu_members": spu_members.suite,
    "spu_events": spu_events.suite,
    "item_embeddings": item_embeddings.suite,
    "spu_embeddings": spu_embeddings.suite,
    "spu_semantic_ids": spu_semantic_ids.suite,
    "spu_preference_embeddings": spu_preference_embeddings.suite,
    "user_embeddings": user_embeddings.suite,
    "quarantine": quarantine.suite,
}


def audit(tables: Tables, config: Config, night: Night) -> AuditReport:
    """Hold tonight's staged rows, and the state they lead to, against every suite.

    Writes the Data Docs of the night to ``data_docs_path``, and nothing else.

    Args:
        tables: stages have staged tonight's rows in them.

    Returns:
        One result a check, failures included.
    """
    # A backfill audits what it encodes: the other tables are published.
    audited = SUITES if tables.backfills is None else {name: SUITES[name] for name in ENCODED}
    profiled = [table for table in PUBLISHED if table.name in audited]
    figures = schema_figures(tables, night)
    with ThreadPoolExecutor(1) as pool, ExitStack() as lent:
        profiles: Mapping[str, Profile] = {}
        # Where a table breaks its contract, nothing else can be measured.
        if not any(figure.value for figure in figures):
            limits = served_limits(tables)
            gathering = pool.submit(gather, tables, night, limits)
            profiles = lent.enter_context(kept_profiles(tables, night, profiled, limits))
            figures += gathering.result()
        expectations = {
            name: suite([f for f in figures if f.table == name], config)
            for name, suite in audited.items()
        }
        runs = ExpectationRuns(str(night))
        results = _figure_results(runs, tables, figures, expectations)
        for name, profile in profiles.items():
            about_rows = [e for e in expectations[name] if not is_about_figure(e)]
            results += _row_results(runs, name, profile, about_rows)
    runs.write_data_docs(tables.layout.night_data_docs(night, tables.backfills))
    return AuditReport(night, results, {name: p.rows for name, p in profiles.items()})


def data_docs_path(tables: Tables, night: Night) -> str:
    """Return the folder of a night's Data Docs."""
    of = f"backfill_{tables.backfills}/" if tables.backfills else ""
    return f"{tables.warehouse}/data_docs/{of}{night}"


def _figure_results(
    runs: ExpectationRuns,
    tables: Tables,
    figures: Sequence[Figure],
    expectations: Mapping[str, Sequence[Expectation]],
) -> list[CheckResult]:
    """Check every figure of every table at once, as a frame of one row."""
    about_figures = [
        e for of_table in expectations.values() for e in of_table if is_about_figure(e)
    ]
    measurable = [e for e in about_figures if has_value(e)]
    values = {column_of(f): f.value for f in figures if f.value is not None}
    verdicts = {}
    if measurable:
        columns = T.StructType([T.StructField(name, T.DoubleType()) for name in values])
        frame = local_frame(tables.spark, [tuple(values.values())], columns)
        verdicts = {_key(r): r for r in runs.figures("figures", frame, measurable)}
    return [_figure_result(e, verdicts.get(_key_of(e.meta))) for e in about_figures]


def _figure_result(expectation: Expectation, verdict: Any) -> CheckResult:
    meta = expectation.meta
    success = True if verdict is None else bool(verdict.success)
    return _result(expectation, success, seen=meta["seen"], observed=meta["observed"])


def _row_results(
    runs: ExpectationRuns, table: str, profile: Profile, about_rows: Sequence[Expectation]
) -> list[CheckResult]:
    """Check every staged row of a table."""
    if profile.rows == 0:
        return [_result(e, True, seen="no rows tonight", observed=None) for e in about_rows]
    verdicts = {_key(r): r for r in runs.verdicts(f"{table} rows", profile.frame, about_rows)}
    return [_row_result(e, verdicts[_key_of(e.meta)], profile.rows) for e in about_rows]


def _row_result(expectation: Expectation, verdict: Any, rows: int) -> CheckResult:
    if verdict.success:
        return _result(expectation, True, seen=f"{rows:,} rows", observed=0.0)
    trouble = [info["exception_message"] for info in _exceptions(verdict.exception_info)]
    if trouble:
        seen = f"the check itself failed: {trouble[0]}"
        return _result(expectation, False, seen=seen, observed=None)
    count = int(verdict.result["unexpected_count"])
    examples = list(dict.fromkeys(map(str, verdict.result["partial_unexpected_list"])))
    such_as = f", such as {', '.join(examples)}" if examples else ""
    seen = f"{count:,} of {rows:,} rows{such_as}"
    return _result(expectation, False, seen=seen, observed=count / rows)


def _exceptions(info: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what was raised; Great Expectations has one entry, or one a metric."""
    entries = [info] if "raised_exception" in info else list(info.values())
    return [entry for entry in entries if entry["raised_exception"]]


def _result(
    expectation: Expectation, success: bool, *, seen: str, observed: float | None
) -> CheckResult:
    # A check of rows counts those that fail, whatever range its column has.
    limits = expectation if is_about_figure(expectation) and observed is not None else None
    return CheckResult(
        table_name=expectation.meta["table"],
        **{name: expectation.meta.get(name) for name in CHECK_PARTS},
        success=success,
        expected=expectation.description,
        seen=seen,
        observed=observed,
        advice=expectation.notes,
        at_least=getattr(limits, "min_value", None),
        at_most=getattr(limits, "max_value", None),
    )


def _key(verdict: Any) -> tuple[str, str]:
    return _key_of(verdict.expectation_config.meta)


def _key_of(meta: Mapping[str, Any]) -> tuple[str, str]:
    return meta["table"], meta["check"]
