"""The one file that another online store needs."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from spark_jobs.publish.online_stores import Ping
from spark_jobs.publish.online_stores.entity_keys import serialized, user_key

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView


class ToyStore:
    lists_keys = True
    deletion = "the user's entries deleted from memory"

    def __init__(self, store: "FeatureStore") -> None:
        self._store = store

    def keys(self, view: "FeatureView") -> Iterator[bytes]:
        yield from self._rows().get(view.name, {})

    def count_user(self, user: str) -> int:
        key = serialized(self._store, user_key(user))
        return sum(key in held for held in self._rows().values())

    def delete_user(self, user: str) -> None:
        for held in self._rows().values():
            held.pop(serialized(self._store, user_key(user)), None)

    def ping(self) -> Ping:
        return Ping("ok", f"a toy with {len(self._rows())} views")

    def unavailable(self, error: Exception) -> str | None:
        return "the toy is unavailable." if isinstance(error, MemoryError) else None

    def _rows(self) -> Any:
        return sys.modules["toy_online_store"].ToyOnlineStore.rows
