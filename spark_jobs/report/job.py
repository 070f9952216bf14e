"""Write the report of a night: one HTML page that needs nothing else, and the index of nights.

Reads the ledgers and the tables as of the night; writes ``reports/<ds>.html`` and
``reports/index.html`` in the warehouse. A night that the audit stopped has a report too.

    spark-submit spark_jobs/report/job.py --config spark_jobs/conf/local.toml --ds 2026-01-31
"""

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from spark_jobs.config import Config
from spark_jobs.contracts import NIGHTS
from spark_jobs.night import Night
from spark_jobs.report.ledgers import STAGE, NothingToReport, read_history, read_ledger, snapshot_of
from spark_jobs.report.model import Report
from spark_jobs.report.page import draw_index, draw_night, write_page, written_nights
from spark_jobs.report.samples import read_samples
from spark_jobs.runs.stage import STAGES, Step, job_main
from spark_jobs.warehouse.tables import Tables

logger = logging.getLogger(__name__)


class ReportFailed(RuntimeError):
    """The report could not be written. The tables and the online store are as they were."""


def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
    """Write the page of a night, and the index again.

    Raises:
        NothingToReport: no stage has run in the night.
        ReportFailed: it could not be read, drawn or written; the message says whether the night is
            published all the same.
    """
    started = time.monotonic()
    try:
        _write(tables, config, night)
    except NothingToReport:
        raise
    except Exception as error:
        logger.exception("report night=%s failed", night)
        raise ReportFailed(_failure(tables, night, error)) from error
    return [Step("pages", 2, 2, seconds=time.monotonic() - started)]


def _write(tables: Tables, config: Config, night: Night) -> None:
    ledger = read_ledger(tables, night, STAGES)
    snapshot = snapshot_of(tables, night, ledger.state)
    samples = read_samples(snapshot, ledger, max_pixels=config.ingest.max_image_pixels)
    report = Report(ledger, samples, written_at=datetime.now(UTC))
    page, path = draw_night(report), tables.layout.report(night)
    write_page(path, page)
    index = draw_index(
        read_history(tables), written_nights(tables.layout), written_at=report.written_at
    )
    write_page(tables.layout.report_index, index)
    logger.info("report night=%s bytes=%d %s", night, len(page.encode()), path)


def _failure(tables: Tables, night: Night, error: Exception) -> str:
    is_published = not tables.recorded(NIGHTS, night, "publish").isEmpty()
    cause = (str(error).strip() or type(error).__name__).splitlines()[0]
    readers = (
        "The night is published and served all the same."
        if is_published
        else "The night was not published, and that does not depend on its report."
    )
    return (
        f"the report of night {night} could not be written to {tables.layout.report(night)}: "
        f"{type(error).__name__}: {cause[:500]}. {readers} Mend the cause, then write it: "
        f"embedmill report --config CONFIG --ds {night}"
    )


if __name__ == "__main__":
    job_main(STAGE, run)
