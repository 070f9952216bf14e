"""Bring the online store up to the published tables.

Reads the served tables and ``releases.json``; writes Feast's registry and the online store. Run
again, it writes the same values.

    spark-submit spark_jobs/publish/materialize_job.py --config CONFIG.toml --ds 2026-01-31
"""

import time
from collections.abc import Sequence

from spark_jobs.config import Config
from spark_jobs.night import Night
from spark_jobs.publish.commit import last_recorded
from spark_jobs.publish.feast_definitions import applied_definitions, open_store
from spark_jobs.publish.materialization import feast_output_logged, feast_session, materialize_night
from spark_jobs.publish.online_stores import reporting_unavailable
from spark_jobs.publish.preconditions import check_published
from spark_jobs.runs.stage import Step, job_main
from spark_jobs.warehouse.tables import Tables


def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
    """Register the views and services of the served releases, and fill the views.

    Raises:
        NotPublished: the night's rows are not in the served tables.
        OnlineStoreUnavailable: its server does not answer.
    """
    check_published(tables, night)
    started = time.monotonic()
    store = open_store(config.feature_store.repo, tables.warehouse)
    with (
        feast_session(tables.spark),
        feast_output_logged(),
        reporting_unavailable(store),
        applied_definitions(store, tables),
    ):
        views = materialize_night(store, night=night, last=last_recorded(tables))
    return [Step("online views", views, views, seconds=time.monotonic() - started)]


if __name__ == "__main__":
    job_main("materialize", run)
