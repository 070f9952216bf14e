"""A store of Feast's kind that keeps values in memory, as a user might bring one."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.online_store import OnlineStore
from feast.repo_config import FeastConfigBaseModel


class ToyOnlineStoreConfig(FeastConfigBaseModel):
    type: Literal["toy_online_store.ToyOnlineStore"] = "toy_online_store.ToyOnlineStore"


class ToyOnlineStore(OnlineStore):
    rows: ClassVar[dict[str, dict[bytes, tuple[Any, Any]]]] = {}

    def online_write_batch(
        self, config: Any, table: Any, data: Sequence[tuple[Any, Any, Any, Any]], progress: Any
    ) -> None:
        held = self.rows.setdefault(table.name, {})
        for key, values, event_timestamp, _ in data:
            held[serialize_entity_key(key)] = (event_timestamp, values)

    def online_read(
        self, config: Any, table: Any, entity_keys: Any, requested_features: Any = None
    ) -> list[tuple[Any, Any]]:
        held = self.rows.get(table.name, {})
        return [held.get(serialize_entity_key(key), (None, None)) for key in entity_keys]

    def update(
        self, config: Any, tables_to_delete: Any, tables_to_keep: Any, *_: Any, **__: Any
    ) -> None:
        for table in tables_to_delete:
            self.rows.pop(table.name, None)

    def teardown(self, config: Any, tables: Any, entities: Any) -> None:
        self.rows.clear()
