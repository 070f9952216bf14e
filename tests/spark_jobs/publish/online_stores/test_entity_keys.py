"""Keys as Feast serializes them: read back in the order of the view."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from spark_jobs.publish.online_stores.entity_keys import entity_key, parsed, serialized, user_key

if TYPE_CHECKING:
    from feast import FeatureStore

SETTINGS = SimpleNamespace(entity_key_serialization_version=3)
STORE = cast("FeatureStore", SimpleNamespace(config=SETTINGS))


def test_a_key_is_read_back_in_the_order_of_the_names() -> None:
    key = serialized(STORE, entity_key(["item_id", "domain"], ["ü*?[1]", "page"]))

    assert parsed(STORE, ["item_id", "domain"], key) == ("ü*?[1]", "page")
    assert parsed(STORE, ["domain", "item_id"], key) == ("page", "ü*?[1]")


@pytest.mark.parametrize("project", ["my", "staging_of_a_"])
def test_the_key_of_a_project_whose_name_ends_alike_is_not_read(project: str) -> None:
    # In Redis the project's name follows a key, and only its end was cut off.
    key = serialized(STORE, user_key("ann")) + project.encode()

    assert parsed(STORE, ["user_id"], key) is None


def test_a_users_key_is_the_one_of_views_by_user_id() -> None:
    assert serialized(STORE, user_key("ann")) == serialized(STORE, entity_key(["user_id"], ["ann"]))
