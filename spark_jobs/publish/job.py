"""Publish one night: the audited rows to the served tables, and from there to the online store.

Reads the staged rows and ``audit_results``; writes the served tables, ``nights``, ``releases`` and
the online store. Killed at any point and run again, it ends in the same state.

    spark-submit spark_jobs/publish/job.py --config spark_jobs/conf/local.toml --ds 2026-01-31
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from spark_jobs.config import Config
from spark_jobs.nights import Night
from spark_jobs.publish.commit import (
    forget_views,
    last_recorded,
    publish_tables,
    record_night,
    replaced_tables,
    staged_rows,
    was_recorded,
)
from spark_jobs.publish.definitions import apply_definitions, open_store
from spark_jobs.publish.gate import check_publishable
from spark_jobs.publish.materialization import feast_session, feast_talk, materialize_night
from spark_jobs.publish.reconciliation import NotReconciled, reconcile
from spark_jobs.releases import export_releases, validate_encoded
from spark_jobs.stage import Step, job_main
from spark_jobs.tables import Tables

if TYPE_CHECKING:
    from feast import FeatureStore


def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
    """Publish the night's tables and bring the online store up to them.

    Raises:
        NotAudited: the staged rows have not passed the audit.
        NothingToPublish: there are no rows, and there never were.
        NotReconciled: the online store does not hold what the tables say.
    """
    with ThreadPoolExecutor(1) as pool:
        # Importing Feast takes seconds; Spark works meanwhile.
        opening = pool.submit(open_store, config.feature_store.repo, tables.warehouse)
        committed = _commit(tables, night, opening.result)
        store = opening.result()
    return [*committed, *_serve(tables, store, config, night)]


def _commit(tables: Tables, night: Night, opened: Callable[[], "FeatureStore"]) -> list[Step]:
    started = time.monotonic()
    staged = staged_rows(tables, night)
    check_publishable(tables, night, staged)
    if was_recorded(tables, night):
        changed = replaced_tables(tables, night)
        if changed:
            forget_views(opened(), changed)
    else:
        # A run that was killed on the way may have copied other rows: every table is copied, those
        # without rows too.
        changed = {table.name for table in staged}
    served = publish_tables(tables, night, changed)
    record_night(tables, night, "published")
    validate_encoded(tables)
    export_releases(tables)
    seconds = (time.monotonic() - started) / len(staged)
    return [Step(table.name, table.rows, served[table.name], seconds=seconds) for table in staged]


def _serve(tables: Tables, store: "FeatureStore", config: Config, night: Night) -> list[Step]:
    started = time.monotonic()
    with feast_session(tables.spark), feast_talk():
        apply_definitions(store, tables.warehouse)
        materialize_night(store, night=night, last=last_recorded(tables))
        try:
            views = reconcile(
                store, tables.spark, night=night, sample=config.feature_store.reconcile_sample
            )
        except NotReconciled as difference:
            record_night(tables, night, "failed", str(difference))
            raise
    seconds = (time.monotonic() - started) / len(views)
    return [Step(f"online {view.view}", view.keys, view.keys, seconds=seconds) for view in views]


if __name__ == "__main__":
    job_main("publish", run)
