"""Keys of entities as Feast serializes them in every online store."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feast import FeatureStore

USER = "user_id"


def entity_key(names: Sequence[str], parts: Sequence[str]) -> Any:
    """Return Feast's proto of a key.

    Args:
        names: join keys.
        parts: their values, in the same order.
    """
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    values = [Value(string_val=part) for part in parts]
    return EntityKey(join_keys=list(names), entity_values=values)


def user_key(user: str) -> Any:
    """Return the proto of a user's key."""
    return entity_key([USER], [user])


def serialized(store: "FeatureStore", key: Any) -> bytes:
    """Return a key as the store's settings serialize it."""
    from feast.infra.key_encoding_utils import serialize_entity_key

    version = store.config.entity_key_serialization_version
    content: bytes = serialize_entity_key(key, entity_key_serialization_version=version)
    return content


def parsed(store: "FeatureStore", names: Sequence[str], key: bytes) -> tuple[str, ...] | None:
    """Return the parts of a serialized key, in the order of the names.

    None where it is of another project: one whose name ends as this one's does.
    """
    from feast.infra.key_encoding_utils import deserialize_entity_key

    version = store.config.entity_key_serialization_version
    try:
        found = deserialize_entity_key(key, entity_key_serialization_version=version)
    except ValueError:
        return None  # too few bytes are left for a value
    values = dict(zip(found.join_keys, found.entity_values, strict=True))
    parts = tuple(values[name].string_val for name in names)
    return parts if serialized(store, entity_key(names, parts)) == key else None
