"""Any other online store: what Feast's own reads and writes can do, and nothing beyond."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spark_jobs.publish.online_stores.entity_keys import USER, user_key
from spark_jobs.publish.online_stores.protocol import Ping

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView


class AnyOtherStore:
    """A store of a type that has no adapter: a user's values are overwritten with nulls."""

    lists_keys = False

    def __init__(self, store: "FeatureStore") -> None:
        self._store = store
        self._type: str = store.config.online_store.type
        self.deletion = (
            "nulls written over the values; the key itself, which holds the id, stays in "
            f"{self._type}: delete it with the store's own tools"
        )

    def keys(self, view: "FeatureView") -> Iterator[bytes]:
        raise NotImplementedError(f"{self._type} has no adapter that lists keys.")

    def count_user(self, user: str) -> int:
        values = (value for view in self._user_views() for value in self._values(view, user))
        return sum(value.WhichOneof("val") is not None for value in values)

    def delete_user(self, user: str) -> None:
        from feast.protos.feast.types.Value_pb2 import Value

        now = datetime.now(UTC)
        for view in self._user_views():
            nulls = {feature.name: Value() for feature in view.features}
            rows = [(user_key(user), nulls, now, now)]
            self._store._get_provider().online_write_batch(self._store.config, view, rows, None)

    def ping(self) -> Ping:
        return Ping("unknown", f"{self._type}: not looked at", "Look at it with its own tools.")

    def unavailable(self, error: Exception) -> None:
        """Return None: the errors of its driver are not known."""

    def _user_views(self) -> "list[FeatureView]":
        views = self._store.list_feature_views()
        return [view for view in views if list(view.join_keys) == [USER]]

    def _values(self, view: "FeatureView", user: str) -> list[Any]:
        # Without the names, some stores refuse to read.
        names = [feature.name for feature in view.features]
        provider, config = self._store._get_provider(), self._store.config
        ((_, found),) = provider.online_read(config, view, [user_key(user)], names)
        return list((found or {}).values())
