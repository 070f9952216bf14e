"""SQLite: one file, with a table for each feature view."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from spark_jobs.publish.feature_repo import file_of
from spark_jobs.publish.online_stores.entity_keys import serialized, user_key
from spark_jobs.publish.online_stores.protocol import OnlineStore, Ping
from spark_jobs.warehouse.layout import Layout

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

_CHUNK = 1 << 20
_WAIT_SECONDS = 60


class SqliteStore:
    """The file that the settings name, or another one of the same tables."""

    lists_keys = True
    deletion = "rows deleted, and the file rewritten without the free pages that still held them"

    def __init__(self, store: "FeatureStore", file: Path | None = None) -> None:
        self._store = store
        self._file = (file or file_of(store, store.config.online_store.path)).resolve()

    def keys(self, view: "FeatureView") -> Iterator[bytes]:
        from feast.infra.online_stores.helpers import compute_table_id

        table = _quoted(compute_table_id(self._store.project, view))
        with closing(sqlite3.connect(self._file)) as connection:
            rows = connection.execute(f"SELECT DISTINCT entity_key FROM {table}")  # noqa: S608
            for (key,) in rows:
                yield key

    def count_user(self, user: str) -> int:
        """Count the key's bytes wherever they are in the files: free pages and journals too."""
        file, key = self._file, serialized(self._store, user_key(user))
        beside = (file, *(file.with_name(f"{file.name}-{end}") for end in ("wal", "journal")))
        return sum(_occurrences(each, key) for each in beside if each.exists())

    def delete_user(self, user: str) -> None:
        if not self._file.exists():
            return
        with closing(sqlite3.connect(self._file, timeout=_WAIT_SECONDS)) as connection:
            _delete_rows(connection, serialized(self._store, user_key(user)))

    def ping(self) -> Ping:
        if not self._file.exists():
            return Ping("absent", "SQLite, no file yet")
        uri = f"{self._file.as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if answer == "ok":
            return Ping("ok", f"SQLite, {self._file.stat().st_size / 1e6:.0f} MB, intact")
        advice = (
            f"Remove {self._file.parent} and publish the last night again: tables fill it anew."
        )
        return Ping("bad", f"SQLite: {answer}", advice)

    def unavailable(self, error: Exception) -> None:
        """Return None: a file has no server that could be away."""


def files_left(store: "FeatureStore", warehouse: str, *, in_use: OnlineStore) -> list[SqliteStore]:
    """Return the SQLite files of a warehouse that stayed when another store took over."""
    layout = Layout(warehouse)
    if not layout.is_local:
        return []
    found = sorted(Path(layout.feature_store).glob("online*.db"))
    current = in_use._file if isinstance(in_use, SqliteStore) else None
    return [SqliteStore(store, file) for file in found if file.resolve() != current]


def _occurrences(file: Path, key: bytes) -> int:
    count, tail = 0, b""
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            seen = tail + chunk
            count += seen.count(key)
            # Too short to hold the key once more.
            tail = seen[-(len(key) - 1) :]
    return count


def _delete_rows(connection: sqlite3.Connection, key: bytes) -> None:
    """Delete a key's rows in every table, and overwrite the pages that held them."""
    connection.execute("PRAGMA secure_delete = ON")
    listed = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    for table in [_quoted(name) for (name,) in listed]:
        columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
        if "entity_key" in {column[1] for column in columns}:
            # SQLite takes no parameter for a name.
            connection.execute(f"DELETE FROM {table} WHERE entity_key = ?", (key,))  # noqa: S608
    connection.commit()
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
