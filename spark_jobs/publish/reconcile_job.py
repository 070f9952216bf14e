"""Compare the online store with the published tables.

Reads the served tables and the online store; writes ``nights`` where they differ.

    spark-submit spark_jobs/publish/reconcile_job.py --config CONFIG.toml --ds 2026-01-31
"""

import time
from collections.abc import Sequence

from spark_jobs.config import Config
from spark_jobs.contracts import NIGHTS
from spark_jobs.night import Night
from spark_jobs.publish.commit import record_night
from spark_jobs.publish.feast_definitions import open_store
from spark_jobs.publish.materialization import feast_output_logged, feast_session
from spark_jobs.publish.online_stores import reporting_unavailable
from spark_jobs.publish.preconditions import check_published
from spark_jobs.publish.reconciliation import NotReconciled, reconcile
from spark_jobs.runs.stage import Step, job_main
from spark_jobs.warehouse.tables import Tables


def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
    """Compare every view with its table, key by key.

    Raises:
        NotPublished: the night's rows are not in the served tables.
        NotReconciled: the online store and the published tables differ.
        OnlineStoreUnavailable: its server does not answer.
    """
    check_published(tables, night)
    started = time.monotonic()
    store = open_store(config.feature_store.repo, tables.warehouse)
    sample = config.feature_store.reconcile_sample
    with feast_session(tables.spark), feast_output_logged(), reporting_unavailable(store):
        try:
            views = reconcile(store, tables.spark, night=night, sample=sample)
        except NotReconciled as difference:
            record_night(tables, night, "failed", str(difference))
            raise
    if not tables.recorded(NIGHTS, night, "publish").filter("state = 'failed'").isEmpty():
        record_night(tables, night, "published")  # an earlier attempt failed
    seconds = (time.monotonic() - started) / len(views)
    return [Step(f"online {view.view}", view.keys, view.keys, seconds=seconds) for view in views]


if __name__ == "__main__":
    job_main("reconcile", run)
