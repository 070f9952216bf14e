"""Which keys does the online store hold? Feast only looks up keys that it is given.

So the store is asked past Feast, each type of it in its own way.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from spark_jobs.publish.postgres_tables import connection, table_of

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

_BATCH = 2000


def lists_keys(store: "FeatureStore") -> bool:
    """Whether the keys of this type of online store can be listed."""
    return store.config.online_store.type in _LISTED


def keys_only_online(
    store: "FeatureStore", view: "FeatureView", known: Iterable[tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """Return the keys that the online store has a row of in a view, but that are not ``known``.

    Args:
        known: keys in the order of the view's join keys.
    """
    names = view.join_keys  # Feast finds these out anew each time
    expected = {_serialized(names, key) for key in known}
    held = _LISTED[store.config.online_store.type](store, view)
    unknown = (_parsed(names, key) for key in held if key not in expected)
    return sorted(key for key in unknown if key is not None)


def _sqlite_keys(store: "FeatureStore", view: "FeatureView") -> Iterator[bytes]:
    from feast.infra.online_stores.helpers import compute_table_id

    table = compute_table_id(store.project, view).replace('"', '""')
    with closing(sqlite3.connect(store.config.online_store.path)) as connection:
        rows = connection.execute(f'SELECT DISTINCT entity_key FROM "{table}"')  # noqa: S608
        for (key,) in rows:
            yield key


def _redis_keys(store: "FeatureStore", view: "FeatureView") -> Iterator[bytes]:
    from feast.infra.key_encoding_utils import serialize_entity_key_prefix

    # Feast's own client: it alone knows of clusters and sentinels.
    client = store._get_provider().online_store._get_client(store.config.online_store)
    project = store.project.encode()
    pattern = serialize_entity_key_prefix(view.join_keys) + b"*" + project
    batch: list[bytes] = []
    for key in client.scan_iter(pattern, count=_BATCH):
        batch.append(key)
        if len(batch) == _BATCH:
            yield from _with_row(client, batch, view.name, project)
            batch = []
    yield from _with_row(client, batch, view.name, project)


def _with_row(client: Any, keys: list[bytes], view: str, project: bytes) -> Iterator[bytes]:
    """Yield those of the hashes that hold a row of the view: the views of an entity share them."""
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.hexists(key, f"_ts:{view}")
        found = pipe.execute()
    for key, has_row in zip(keys, found, strict=True):
        if has_row:
            yield key.removesuffix(project)


def _postgres_keys(store: "FeatureStore", view: "FeatureView") -> Iterator[bytes]:
    from psycopg import sql

    query = sql.SQL("SELECT DISTINCT entity_key FROM {}").format(table_of(store, view))
    with connection(store) as postgres:
        for (key,) in postgres.execute(query).fetchall():
            yield bytes(key)


def _serialized(names: list[str], key: tuple[str, ...]) -> bytes:
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    values = [Value(string_val=part) for part in key]
    serialized: bytes = serialize_entity_key(EntityKey(join_keys=names, entity_values=values))
    return serialized


def _parsed(names: list[str], serialized: bytes) -> tuple[str, ...] | None:
    """Return a key's parts; None where it is of a project whose name ends as ours does."""
    from feast.infra.key_encoding_utils import deserialize_entity_key

    parsed = deserialize_entity_key(serialized)
    parts = dict(zip(parsed.join_keys, parsed.entity_values, strict=True))
    key = tuple(parts[name].string_val for name in names)
    return key if _serialized(names, key) == serialized else None


_LISTED: Mapping[str, Callable[["FeatureStore", "FeatureView"], Iterator[bytes]]] = {
    "sqlite": _sqlite_keys,
    "redis": _redis_keys,
    "postgres": _postgres_keys,
}
