"""How a release that was backfilled gets its views, and how they are filled and reconciled."""

from spark_jobs.config import Config
from spark_jobs.publish.commit import last_recorded
from spark_jobs.publish.feast_definitions import applied_definitions, open_store
from spark_jobs.publish.materialization import feast_session, feast_talk, materialize_new
from spark_jobs.publish.online_errors import named_if_unavailable
from spark_jobs.publish.preconditions import NotPublished
from spark_jobs.publish.reconciliation import Reconciled, reconcile
from spark_jobs.warehouse.tables import Tables


def serve_release(tables: Tables, config: Config, name: str) -> list[Reconciled]:
    """Register a release's views and services, fill its views, and reconcile them.

    Other releases' views are left as they are. Again, it fills what is still empty. A promote or
    rollback need not wait for it to end.

    Raises:
        NotPublished: no night is.
        NotReconciled: the online store does not hold what the tables say.
        OnlineStoreUnavailable: its server does not answer.
    """
    if tables.last_published() is None:
        raise NotPublished(
            f"no night is published, so there is nothing to serve of release {name!r}. Run the "
            "first night (embedmill run --config CONFIG --ds NIGHT): it serves the live release."
        )
    night = last_recorded(tables)
    store = open_store(config.feature_store.repo, tables.warehouse)
    with feast_session(tables.spark), feast_talk(), named_if_unavailable(store):
        with applied_definitions(store, tables):
            materialize_new(store, last=night)
        sample = config.feature_store.reconcile_sample
        return reconcile(store, tables.spark, night=night, sample=sample, release=name)
