"""One user in Postgres: the rows of their key in every table of the project's feature views."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import sql

from spark_jobs.publish.feast_definitions import defined_views
from spark_jobs.publish.postgres_tables import connection, tables_of

if TYPE_CHECKING:
    from feast import FeatureStore

_COUNT = sql.SQL("SELECT count(*) FROM {} WHERE entity_key = %s")
_DELETE = sql.SQL("DELETE FROM {} WHERE entity_key = %s")


def postgres_count(store: "FeatureStore", key: bytes) -> int:
    """Return how many rows there are of a key."""
    with connection(store) as postgres:
        cursors = [postgres.execute(_COUNT.format(table), [key]) for table in _tables(store)]
        return sum(_first(cursor.fetchone()) for cursor in cursors)


def postgres_delete(store: "FeatureStore", key: bytes) -> None:
    """Delete the rows of a key."""
    with connection(store) as postgres:
        for table in _tables(store):
            postgres.execute(_DELETE.format(table), [key])


def _tables(store: "FeatureStore") -> list[sql.Identifier]:
    # Defined ones too: a registry that was lost left its tables behind.
    defined = (name for names in defined_views(Path(store.repo_path)).values() for name in names)
    registered = (view.name for view in store.list_feature_views())
    names = {re.sub("__(r[0-9]+|<release>)$", "", name) for name in (*defined, *registered)}
    return tables_of(store, names)


def _first(row: Any) -> int:
    return int(row[0])
