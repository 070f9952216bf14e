"""Audit one night, and stop it where a check of what it staged fails.

Reads the staged tables; writes ``audit_results``, the Data Docs and, for a night that failed,
``nights``.

    spark-submit validation/job.py --config spark_jobs/conf/local.toml --ds 2026-01-31

Exit status 3 when a check failed.
"""

from collections.abc import Sequence

from spark_jobs.config import Config
from spark_jobs.contracts import AUDIT_RESULTS
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step, job_main, record_state
from spark_jobs.warehouse.tables import Tables
from validation.results import AuditFailed, AuditReport

STAGE = "validation"


def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
    """Audit a night and record the results.

    Raises:
        AuditFailed: a check failed; the message lists what was expected, what was seen and what to
            do.
    """
    # Great Expectations takes seconds to import, and callers of this module need the exception.
    from validation.audit import audit

    report = audit(tables, config, night)
    _record_results(tables, report)
    failed = [f"{f.table_name}, {f.name}: {f.seen}" for f in report.failures]
    record_state(tables, night, STAGE, failed)
    if report.failures:
        raise AuditFailed(report, tables.layout.night_data_docs(night, tables.backfills))
    return [Step(name, rows_in=rows, rows_out=rows) for name, rows in report.rows.items()]


def _record_results(tables: Tables, report: AuditReport) -> None:
    ddl = (
        "table_name string, check_name string, measure string, step string, "
        "encoder_version string, success boolean, expected string, seen string, "
        "observed double, at_least double, at_most double, advice string"
    )
    columns = [column.split()[0] for column in ddl.split(", ")]
    rows = [tuple(getattr(result, name) for name in columns) for result in report.results]
    tables.record(local_frame(tables.spark, rows, ddl), AUDIT_RESULTS, report.night, STAGE)


if __name__ == "__main__":
    job_main(STAGE, run)
