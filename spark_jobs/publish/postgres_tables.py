"""Feast's tables in Postgres: one for each feature view, with a row for each key and feature."""

import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView
    from psycopg import Connection

# What may follow the name of a view: its release, and Feast's own version of it.
_OF_RELEASE = r"(__r[0-9]+)?"
_OF_VERSION = r"(_v[0-9]+)?"


def connection(store: "FeatureStore") -> "AbstractContextManager[Connection[Any]]":
    """Return the store's own connection, in which each statement is committed by itself."""
    opened: AbstractContextManager[Connection[Any]] = store._get_provider().online_store._get_conn(
        store.config, autocommit=True
    )
    return opened


def table_of(store: "FeatureStore", view: "FeatureView") -> sql.Identifier:
    """Return the table of a view, quoted."""
    from feast.infra.online_stores.helpers import compute_table_id

    versioned = store.config.registry.enable_online_feature_view_versioning
    return sql.Identifier(_schema(store), compute_table_id(store.project, view, versioned))


def tables_of(store: "FeatureStore", views: Iterable[str]) -> list[sql.Identifier]:
    """Return every table of the views, quoted, whichever release or version of a view filled it.

    Other projects may have tables in the same schema.

    Args:
        views: names without a release.
    """
    names = "|".join(map(re.escape, sorted(views)))
    pattern = re.compile(f"{re.escape(store.project)}_({names}){_OF_RELEASE}{_OF_VERSION}")
    schema = _schema(store)
    with connection(store) as postgres:
        listed = postgres.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY tablename", [schema]
        )
        found = [name for (name,) in listed]
    return [sql.Identifier(schema, name) for name in found if pattern.fullmatch(name)]


def _schema(store: "FeatureStore") -> str:
    """Return the schema that Feast makes its tables in."""
    online = store.config.online_store
    schema: str = online.db_schema or online.user
    return schema.strip()
