"""Audit one night, and stop it where what was staged must not reach a reader.

Reads the staged tables; writes ``audit_results``, the Data Docs and, for a night that failed,
``nights``.

    spark-submit validation/job.py --config spark_jobs/conf/local.toml --ds 2026-01-31

Exit status 3 when a check failed.
"""

import logging
import sys
from collections.abc import Sequence

from spark_jobs.config import Config
from spark_jobs.contracts import AUDIT_RESULTS, NIGHTS
from spark_jobs.frames import local_frame
from spark_jobs.nights import Night
from spark_jobs.stage import Step, job_main
from spark_jobs.tables import Tables
from validation.checks import AuditFailed, AuditReport

logger = logging.getLogger(__name__)

STAGE = "validation"
EXIT_STATUS = 3


def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
    """Audit a night and record the results.

    Raises:
        AuditFailed: a check failed; the message says which, what was expected and seen, and what to
            do.
    """
    # Great Expectations takes seconds to import, and the exception is wanted without it.
    from validation.audit import audit, data_docs_path

    report = audit(tables, config, night)
    _record_results(tables, report)
    _record_state(tables, report)
    if report.failures:
        raise AuditFailed(report, data_docs_path(tables, night))
    return [Step(name, rows_in=rows, rows_out=rows) for name, rows in report.rows.items()]


def _record_results(tables: Tables, report: AuditReport) -> None:
    rows = [
        (
            *(r.table_name, r.check_name, r.success, r.expected, r.seen),
            *(r.observed, r.at_least, r.at_most, r.advice),
        )
        for r in report.results
    ]
    ddl = (
        "table_name string, check_name string, success boolean, expected string, seen string, "
        "observed double, at_least double, at_most double, advice string"
    )
    tables.record(local_frame(tables.spark, rows, ddl), AUDIT_RESULTS, report.night, STAGE)


def _record_state(tables: Tables, report: AuditReport) -> None:
    """Say that the night failed, or take back what an earlier attempt said."""
    failed = [f"{f.table_name}, {f.check_name}: {f.seen}" for f in report.failures]
    if not failed and tables.recorded(NIGHTS, report.night, STAGE).isEmpty():
        return
    rows = [("failed", "; ".join(failed))] if failed else []
    tables.record(
        local_frame(tables.spark, rows, "state string, detail string"),
        NIGHTS,
        report.night,
        STAGE,
    )


def main() -> None:
    """Run the job; leave with status 3 where the audit failed."""
    try:
        job_main(STAGE, run)
    except AuditFailed as failure:
        logger.error("%s", failure)
        sys.exit(EXIT_STATUS)


if __name__ == "__main__":
    main()
