"""The online store: what is kept of a user there, and how it goes for good.

Feast has no call that deletes one key, so each store is asked in its own words; one that is not
known here gets nulls written over its values.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_jobs.operations.erasure.postgres import postgres_count, postgres_delete
from spark_jobs.publish.feast_definitions import file_of
from spark_jobs.warehouse.layout import Layout

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

USER = "user_id"
_CHUNK = 1 << 20
_WAIT_SECONDS = 60


@dataclass(frozen=True)
class UserOnline:
    """One user in the online store.

    Attributes:
        count: says how many mentions or values are there now.
        delete: removes them.
        how: what deleting does, for the receipt.
    """

    count: Callable[[], int]
    delete: Callable[[], None]
    how: str


def user_online(store: "FeatureStore", user: str, warehouse: str) -> UserOnline:
    """Find a user in a store, whichever it is; no definitions need be applied.

    And in files of SQLite in the warehouse, which stay when another store takes over.
    """
    kind = store.config.online_store.type
    places = {"redis": _in_redis, "sqlite": _in_sqlite, "postgres": _in_postgres}
    here = places.get(kind, _in_another)(store, user)
    left = [_in_file(file, store, user) for file in _files_left(store, warehouse)]

    def delete() -> None:
        for each in (here, *left):
            each.delete()

    return UserOnline(
        lambda: sum(each.count() for each in (here, *left)),
        delete,
        f"{here.how}; the same in {len(left)} files of SQLite from before" if left else here.how,
    )


def _files_left(store: "FeatureStore", warehouse: str) -> list[Path]:
    """Return the files of online stores in the warehouse but the one that is in use."""
    layout = Layout.of(warehouse)
    if not layout.is_local:
        return []
    found = sorted(Path(layout.feature_store).glob("online*.db"))
    in_use = _file(store).resolve() if store.config.online_store.type == "sqlite" else None
    return [file for file in found if file.resolve() != in_use]


def _key(user: str) -> Any:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    return EntityKey(join_keys=[USER], entity_values=[Value(string_val=user)])


def _serialized(store: "FeatureStore", user: str) -> bytes:
    from feast.infra.key_encoding_utils import serialize_entity_key

    version = store.config.entity_key_serialization_version
    key: bytes = serialize_entity_key(_key(user), entity_key_serialization_version=version)
    return key


def _file(store: "FeatureStore") -> Path:
    return file_of(store, store.config.online_store.path)


def _in_sqlite(store: "FeatureStore", user: str) -> UserOnline:
    return _in_file(_file(store), store, user)


def _in_file(file: Path, store: "FeatureStore", user: str) -> UserOnline:
    key = _serialized(store, user)
    return UserOnline(
        lambda: _sqlite_count(file, key),
        lambda: _sqlite_delete(file, key),
        "rows deleted, and the file rewritten without the free pages that still held them",
    )


def _sqlite_count(file: Path, key: bytes) -> int:
    """Count the key's bytes wherever they are in the files: free pages and journals too."""
    beside = (file, *(file.with_name(f"{file.name}-{end}") for end in ("wal", "journal")))
    return sum(_occurrences(each, key) for each in beside if each.exists())


def _occurrences(file: Path, key: bytes) -> int:
    count, tail = 0, b""
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            seen = tail + chunk
            count += seen.count(key)
            # Too short to hold the key once more.
            tail = seen[-(len(key) - 1) :]
    return count


def _sqlite_delete(file: Path, key: bytes) -> None:
    if not file.exists():
        return
    with closing(sqlite3.connect(file, timeout=_WAIT_SECONDS)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        listed = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (name,) in listed.fetchall():
            quoted = '"' + name.replace('"', '""') + '"'
            columns = connection.execute(f"PRAGMA table_info({quoted})").fetchall()
            if "entity_key" in {column[1] for column in columns}:
                # Quoted above; SQLite takes no parameter for a name.
                connection.execute(f"DELETE FROM {quoted} WHERE entity_key = ?", (key,))  # noqa: S608
        connection.commit()
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _in_redis(store: "FeatureStore", user: str) -> UserOnline:
    from feast.infra.online_stores.helpers import _redis_key

    config = store.config
    client = store._get_provider().online_store._get_client(config.online_store)
    # One hash a key holds the values of all views, of all releases.
    key = _redis_key(config.project, _key(user), config.entity_key_serialization_version)
    return UserOnline(
        lambda: int(client.hlen(key)),
        lambda: client.delete(key),
        "the user's hash deleted; snapshots and append-only files of Redis are Redis' own to "
        "rewrite (BGREWRITEAOF, BGSAVE)",
    )


def _in_postgres(store: "FeatureStore", user: str) -> UserOnline:
    key = _serialized(store, user)
    return UserOnline(
        lambda: postgres_count(store, key),
        lambda: postgres_delete(store, key),
        "the user's rows deleted from every table of the project; their bytes in the tables' free "
        "space (VACUUM FULL rewrites them), in the write-ahead log, in replicas and in backups are "
        "Postgres' own to overwrite",
    )


def _in_another(store: "FeatureStore", user: str) -> UserOnline:
    views = [view for view in store.list_feature_views() if list(view.join_keys) == [USER]]
    provider = store._get_provider()

    def values_of(view: "FeatureView") -> list[Any]:
        # Without the names, some kinds of store refuse to read.
        names = [feature.name for feature in view.features]
        ((_, found),) = provider.online_read(store.config, view, [_key(user)], names)
        return list((found or {}).values())

    def count() -> int:
        values = (value for view in views for value in values_of(view))
        return sum(value.WhichOneof("val") is not None for value in values)

    def delete() -> None:
        from feast.protos.feast.types.Value_pb2 import Value

        now = datetime.now(UTC)
        for view in views:
            nulls = {feature.name: Value() for feature in view.features}
            rows = [(_key(user), nulls, now, now)]
            provider.online_write_batch(store.config, view, rows, None)

    return UserOnline(
        count,
        delete,
        f"nulls written over the values; the key itself, which holds the id, stays in "
        f"{store.config.online_store.type}: delete it with the store's own tools",
    )
