"""Publish one night: the audited rows to the served tables.

Reads the staged rows and ``audit_results``; writes the served tables, ``nights`` and ``releases``.
Killed at any point and run again, it ends in the same state. The online store follows in
``materialize_job.py``.

    spark-submit spark_jobs/publish/job.py --config spark_jobs/conf/local.toml --ds 2026-01-31
"""

import time
from collections.abc import Sequence

from spark_jobs.config import Config
from spark_jobs.night import Night
from spark_jobs.publish.commit import (
    EVERY_VERSION,
    empty_views,
    encoded_versions,
    publish_tables,
    record_night,
    replaced_tables,
    staged_rows,
    was_recorded,
)
from spark_jobs.publish.feast_definitions import open_store
from spark_jobs.publish.preconditions import check_encoded, check_publishable
from spark_jobs.releases.ledger import export_releases, served_releases
from spark_jobs.runs.stage import Step, job_main
from spark_jobs.warehouse.delta_files import update_comments
from spark_jobs.warehouse.locks import RELEASES_WAIT, releases_lock
from spark_jobs.warehouse.tables import Tables


def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
    """Publish the night's tables.

    Raises:
        NotAudited: the staged rows have not passed the audit.
        NotEncoded: a release has been validated since they were encoded.
        NothingToPublish: there are no rows, and there never were.
    """
    started = time.monotonic()
    staged = staged_rows(tables, night)
    check_publishable(tables, night, staged)
    versions = encoded_versions(tables, night)
    if was_recorded(tables, night):
        replaced = replaced_tables(tables, night, versions)
        if replaced:
            store = open_store(config.feature_store.repo, tables.warehouse)
            with releases_lock(tables.warehouse, wait=RELEASES_WAIT):
                empty_views(store, replaced, versions)
    else:
        # A release that was validated later has the night from its backfill.
        check_encoded(night, served_releases(tables), versions)
        # A run that was killed on the way may have copied other rows: every table is copied, those
        # without rows too.
        versions, replaced = EVERY_VERSION, {table.name for table in staged}
    served = publish_tables(tables, night, replaced, versions)
    record_night(tables, night, "published")
    with releases_lock(tables.warehouse, wait=RELEASES_WAIT):
        export_releases(tables)
    update_comments(tables)
    seconds = (time.monotonic() - started) / len(staged)
    return [Step(table.name, table.rows, served[table.name], seconds=seconds) for table in staged]


if __name__ == "__main__":
    job_main("publish", run)
