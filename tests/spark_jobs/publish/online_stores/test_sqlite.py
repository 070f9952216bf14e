"""A user's key in a file of SQLite: found in free pages too, and gone after deletion."""

import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from spark_jobs.publish.online_stores.entity_keys import serialized, user_key
from spark_jobs.publish.online_stores.sqlite import SqliteStore, files_left

if TYPE_CHECKING:
    from feast import FeatureStore


@pytest.fixture
def store(tmp_path: Path) -> "FeatureStore":
    """Settings of a store whose file has a row of each of two users, in two tables."""
    file = tmp_path / "feature_store" / "online.db"
    settings = SimpleNamespace(
        entity_key_serialization_version=3, online_store=SimpleNamespace(path=str(file))
    )
    opened = cast("FeatureStore", SimpleNamespace(config=settings, repo_path=str(tmp_path)))
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE other (name TEXT)")
        for table in ("one", "two"):
            connection.execute(f"CREATE TABLE {table} (entity_key BLOB, value BLOB)")
            for user in ("ann", "bob"):
                row = (serialized(opened, user_key(user)), b"value")
                connection.execute(f"INSERT INTO {table} VALUES (?, ?)", row)
        connection.commit()
    return opened


def test_a_deleted_user_leaves_no_byte_and_others_stay(store: "FeatureStore") -> None:
    sqlite = SqliteStore(store)
    assert sqlite.count_user("ann") == 2

    sqlite.delete_user("ann")
    sqlite.delete_user("ann")

    assert (sqlite.count_user("ann"), sqlite.count_user("bob")) == (0, 2)


def test_a_key_on_a_free_page_is_still_counted(store: "FeatureStore", tmp_path: Path) -> None:
    file = tmp_path / "feature_store" / "online.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("DELETE FROM one")
        connection.commit()

    assert SqliteStore(store).count_user("ann") == 2


def test_a_file_that_is_not_there_yet_is_absent_and_not_made(tmp_path: Path) -> None:
    file = tmp_path / "online.db"
    settings = SimpleNamespace(entity_key_serialization_version=3)
    sqlite = SqliteStore(cast("FeatureStore", SimpleNamespace(config=settings)), file)

    sqlite.delete_user("ann")

    assert sqlite.count_user("ann") == 0
    assert sqlite.ping().state == "absent"
    assert not file.exists()


def test_the_file_in_use_is_not_one_of_those_that_are_left(
    store: "FeatureStore", tmp_path: Path
) -> None:
    in_use = SqliteStore(store)
    assert files_left(store, str(tmp_path), in_use=in_use) == []

    (tmp_path / "feature_store" / "online_before.db").touch()

    (left,) = files_left(store, str(tmp_path), in_use=in_use)
    assert left.count_user("ann") == 0
    assert files_left(store, "s3://bucket/warehouse", in_use=in_use) == []
