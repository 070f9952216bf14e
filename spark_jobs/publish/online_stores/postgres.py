"""Postgres: a table for each feature view, with a row for each key and feature."""

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_jobs.publish.feature_repo import defined_views
from spark_jobs.publish.online_stores.entity_keys import serialized, user_key
from spark_jobs.publish.online_stores.protocol import Ping
from spark_jobs.publish.online_stores.servers import Server

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView
    from psycopg import Connection
    from psycopg.sql import Identifier

# What may follow the name of a view in that of its table: its release, and Feast's own version.
_OF_RELEASE = r"(__r[0-9]+)?"
_OF_VERSION = r"(_v[0-9]+)?"


class PostgresStore:
    """The tables of Feast's project in one schema; other projects may have tables beside them."""

    lists_keys = True
    deletion = (
        "the user's rows deleted from every table of the project; their bytes in the tables' free "
        "space (VACUUM FULL rewrites them), in the write-ahead log, in replicas and in backups are "
        "Postgres' own to overwrite"
    )

    def __init__(self, store: "FeatureStore") -> None:
        self._store = store
        settings = store.config.online_store
        self._schema: str = (settings.db_schema or settings.user).strip()
        self._server = Server(
            "Postgres",
            [f"{settings.host}:{settings.port}"],
            "EMBEDMILL_POSTGRES_HOST, _PORT, _DATABASE, _USER and _PASSWORD",
            settings.password,
        )

    def keys(self, view: "FeatureView") -> Iterator[bytes]:
        from feast.infra.online_stores.helpers import compute_table_id
        from psycopg import sql

        versioned = self._store.config.registry.enable_online_feature_view_versioning
        table = compute_table_id(self._store.project, view, versioned)
        query = sql.SQL("SELECT DISTINCT entity_key FROM {}")
        with self._connection() as connection:
            rows = connection.execute(query.format(sql.Identifier(self._schema, table))).fetchall()
        for (key,) in rows:
            yield bytes(key)

    def count_user(self, user: str) -> int:
        return self._rows("SELECT 1 FROM {} WHERE entity_key = %s", user)

    def delete_user(self, user: str) -> None:
        self._rows("DELETE FROM {} WHERE entity_key = %s", user)

    def ping(self) -> Ping:
        return self._server.ping(self._request)

    def unavailable(self, error: Exception) -> str | None:
        from psycopg import Error

        return self._server.failure(error) if isinstance(error, Error) else None

    def _request(self) -> None:
        with self._connection() as connection:
            connection.execute("SELECT 1")

    def _connection(self) -> "AbstractContextManager[Connection[Any]]":
        """Return Feast's own connection, in which each statement is committed by itself."""
        opened: AbstractContextManager[Connection[Any]] = (
            self._store._get_provider().online_store._get_conn(self._store.config, autocommit=True)
        )
        return opened

    def _rows(self, statement: str, user: str) -> int:
        """Run a statement about a user's key on every table; return how many rows it is about."""
        from psycopg import sql

        key = serialized(self._store, user_key(user))
        # Connected first: an unavailable server is reported before a registry that is not there.
        with self._connection() as connection:
            tables = self._tables(connection)
            done = [connection.execute(sql.SQL(statement).format(t), [key]) for t in tables]
            return sum(each.rowcount for each in done)

    def _tables(self, connection: "Connection[Any]") -> "Sequence[Identifier]":
        """Return the project's tables, quoted, whichever release or version of a view filled them.

        Those of defined views too: a registry that was lost left its tables behind.
        """
        from psycopg import sql

        defined = defined_views(Path(self._store.repo_path)).values()
        views = {name for names in defined for name in names}
        views |= {view.name for view in self._store.list_feature_views()}
        names = {re.sub("__(r[0-9]+|<release>)$", "", view) for view in views}
        either = "|".join(map(re.escape, sorted(names)))
        pattern = re.compile(
            f"{re.escape(self._store.project)}_({either}){_OF_RELEASE}{_OF_VERSION}"
        )
        query = "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY tablename"
        listed = connection.execute(query, [self._schema]).fetchall()
        found = [table for (table,) in listed if pattern.fullmatch(table)]
        return [sql.Identifier(self._schema, table) for table in found]
