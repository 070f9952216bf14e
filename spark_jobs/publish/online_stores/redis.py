"""Redis: one hash for each key, which holds the values of all views of all releases."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from spark_jobs.publish.online_stores.entity_keys import user_key
from spark_jobs.publish.online_stores.protocol import Ping
from spark_jobs.publish.online_stores.servers import NoServerNamed, Server, addresses

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

_BATCH = 2000


class RedisStore:
    """A Redis server, cluster or group of sentinels."""

    lists_keys = True
    deletion = (
        "the user's hash deleted; snapshots and append-only files of Redis are Redis' own to "
        "rewrite (BGREWRITEAOF, BGSAVE)"
    )

    def __init__(self, store: "FeatureStore") -> None:
        self._store = store
        named = addresses(store.config.online_store.connection_string)
        if not named:
            raise NoServerNamed(
                "the connection string of the online store names no server: it should be HOST:PORT "
                "and options after commas, such as redis.example:6379,db=1,password=... "
                "It comes from the environment variable that Feast's settings name: "
                "EMBEDMILL_REDIS in feature_repo/redis.yaml."
            )
        self._server = Server("Redis", named, "EMBEDMILL_REDIS")

    def keys(self, view: "FeatureView") -> Iterator[bytes]:
        from feast.infra.key_encoding_utils import serialize_entity_key_prefix

        client, project = self._client(), self._store.project.encode()
        pattern = serialize_entity_key_prefix(view.join_keys) + b"*" + project
        batch: list[bytes] = []
        for key in client.scan_iter(pattern, count=_BATCH):
            batch.append(key)
            if len(batch) == _BATCH:
                yield from _keys_with_row(client, batch, view.name, project)
                batch = []
        yield from _keys_with_row(client, batch, view.name, project)

    def count_user(self, user: str) -> int:
        return int(self._client().hlen(self._hash(user)))

    def delete_user(self, user: str) -> None:
        self._client().delete(self._hash(user))

    def ping(self) -> Ping:
        return self._server.ping(lambda: self._client().ping())

    def unavailable(self, error: Exception) -> str | None:
        from redis.exceptions import RedisError

        return self._server.failure(error) if isinstance(error, RedisError) else None

    def _client(self) -> Any:
        # Feast's own client: it alone knows of clusters and sentinels.
        settings = self._store.config.online_store
        return self._store._get_provider().online_store._get_client(settings)

    def _hash(self, user: str) -> bytes:
        from feast.infra.online_stores.helpers import _redis_key

        config = self._store.config
        key: bytes = _redis_key(
            config.project, user_key(user), config.entity_key_serialization_version
        )
        return key


def _keys_with_row(client: Any, keys: list[bytes], view: str, project: bytes) -> Iterator[bytes]:
    """Yield the keys whose hash holds a row of the view: the views of an entity share hashes."""
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.hexists(key, f"_ts:{view}")
        found = pipe.execute()
    for key, has_row in zip(keys, found, strict=True):
        if has_row:
            yield key.removesuffix(project)
