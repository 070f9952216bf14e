"""Every online store: overwritten, emptied, rid of retired releases and of forgotten users.

And one message where its server is away.
"""

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pytest

from spark_jobs.config import Config, FeatureStoreConfig
from spark_jobs.contracts import FORGOTTEN, KINDS
from spark_jobs.operations.doctor.online_store import online
from spark_jobs.operations.erasure.job import forget
from spark_jobs.operations.erasure.online_store import user_online
from spark_jobs.publish.commit import empty_views
from spark_jobs.publish.feast_definitions import apply_definitions, open_store
from spark_jobs.publish.materialization import feast_output_logged
from spark_jobs.publish.online_stores import OnlineStoreUnavailable, reporting_unavailable
from spark_jobs.publish.online_values import is_present, keys_only_online, online_values
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from feast import FeatureStore

ENCODERS = {kind: f"{kind}@{position:012x}" for position, kind in enumerate(KINDS, start=1)}
BOTH = {"r1": "live", "r2": "validated"}
NEXT = {"r1": "retired", "r2": "live"}


def export(warehouse: Path, states: dict[str, str]) -> None:
    releases = [{"name": n, "state": s, "encoders": ENCODERS} for n, s in states.items()]
    (warehouse / "releases.json").write_text(json.dumps({"releases": releases}))


@pytest.fixture
def applied(repo: str, tmp_path: Path) -> Callable[[dict[str, str]], "FeatureStore"]:
    """Return a function that applies the definitions for releases in given states."""

    def applied_for(states: dict[str, str]) -> "FeatureStore":
        export(tmp_path, states)
        store = open_store(repo, str(tmp_path))
        with feast_output_logged():
            apply_definitions(store, str(tmp_path))
        return store

    return applied_for


def write(store: "FeatureStore", view: str, of_spu: dict[str, list[float] | None]) -> None:
    _write(store, view, {"spu_id": list(of_spu), "spu_cope": list(of_spu.values())})


def write_users(store: "FeatureStore", view: str, users: list[str]) -> None:
    n = len(users)
    _write(
        store, view, {"user_id": users, "user_preference": [[1.0, 0.0]] * n, "n_events": [3] * n}
    )


def _write(store: "FeatureStore", view: str, columns: dict[str, list]) -> None:
    rows = pd.DataFrame(columns)
    rows["event_timestamp"] = rows["created_timestamp"] = pd.Timestamp("2026-02-01", tz="UTC")
    with feast_output_logged():
        store.write_to_online_store(view, rows)


def held(store: "FeatureStore", view: str) -> list[str]:
    """Return the keys of the rows that the store keeps of a view."""
    return [key for (key,) in keys_only_online(store, store.get_feature_view(view), [])]


def vector(store: "FeatureStore", view: str, spu: str) -> list[float] | None:
    keys = pa.table({"spu_id": [spu]})
    (values,) = online_values(store, store.get_feature_view(view), keys)
    return list(values[0].float_list_val.val) if is_present(values) else None


def test_a_row_of_the_same_time_is_written_again(
    applied: Callable[[dict[str, str]], "FeatureStore"],
) -> None:
    store = applied(BOTH)
    write(store, "spu_cope__r1", {"a": [1.0, 0.0]})
    write(store, "spu_cope__r1", {"a": [0.5, 0.5]})
    assert vector(store, "spu_cope__r1", "a") == [0.5, 0.5]
    write(store, "spu_cope__r1", {"a": None, "b": [1.0, 0.0]})
    assert vector(store, "spu_cope__r1", "a") is None


def test_a_retired_release_leaves_the_store_and_ranking_moves(
    applied: Callable[[dict[str, str]], "FeatureStore"],
) -> None:
    store = applied(BOTH)
    write(store, "spu_cope__r1", {"a": [1.0, 0.0], "b": [1.0, 0.0]})
    write(store, "spu_cope__r2", {"a": [0.0, 1.0]})
    assert held(store, "spu_cope__r1") == ["a", "b"]

    after = applied(NEXT)

    pointed = after.get_feature_service("ranking").feature_view_projections
    assert "spu_cope__r2" in [view.name for view in pointed]
    assert held(after, "spu_cope__r2") == ["a"]
    assert vector(after, "spu_cope__r2", "a") == [0.0, 1.0]
    # Registered once more, its views are empty: no value of theirs was kept.
    again = applied(BOTH)
    assert held(again, "spu_cope__r1") == []
    assert vector(again, "spu_cope__r1", "a") is None


def test_the_views_of_a_replaced_table_are_emptied(
    applied: Callable[[dict[str, str]], "FeatureStore"],
) -> None:
    store = applied(BOTH)
    write(store, "spu_cope__r1", {"a": [1.0, 0.0]})
    empty_views(store, {"spu_embeddings"})
    store = applied(BOTH)
    assert held(store, "spu_cope__r1") == []


def test_a_view_is_read_while_it_is_filled(
    applied: Callable[[dict[str, str]], "FeatureStore"], caplog: pytest.LogCaptureFixture
) -> None:
    from feast.feature_view import FeatureViewState

    store = applied(BOTH)
    write(store, "spu_cope__r1", {"a": [1.0, 0.0]})
    view = store.get_feature_view("spu_cope__r1")
    view.state = FeatureViewState.MATERIALIZING
    store.registry.apply_feature_view(view, store.project, commit=True)
    assert vector(applied(BOTH), "spu_cope__r1", "a") == [1.0, 0.0]
    assert "serve_features_while_materializing" not in caplog.text


def test_teardown_empties_the_store(
    applied: Callable[[dict[str, str]], "FeatureStore"],
) -> None:
    store = applied(BOTH)
    write(store, "spu_cope__r1", {"a": [1.0, 0.0]})
    with feast_output_logged():
        store.teardown()
    store = applied(BOTH)
    assert held(store, "spu_cope__r1") == []
    assert not store.get_feature_view("spu_cope__r1").materialization_intervals


def test_a_forgotten_user_leaves_the_store_and_others_stay(
    applied: Callable[[dict[str, str]], "FeatureStore"], tmp_path: Path
) -> None:
    store = applied(BOTH)
    for view in ("user_preference__r1", "user_preference__r2"):
        write_users(store, view, ["ann", "bob"])

    ann = user_online(store, "ann", str(tmp_path))
    assert ann.count() > 0
    ann.delete()

    assert ann.count() == 0
    assert user_online(store, "bob", str(tmp_path)).count() > 0
    assert held(store, "user_preference__r1") == held(store, "user_preference__r2") == ["bob"]


def test_a_forgotten_user_leaves_the_store_that_was_used_before(
    redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(tmp_path, BOTH)
    before = open_store("feature_repo", str(tmp_path))
    with feast_output_logged():
        apply_definitions(before, str(tmp_path))
    write_users(before, "user_preference__r1", ["ann"])
    monkeypatch.setenv("EMBEDMILL_REDIS", f"{redis_server},db=14")

    ann = user_online(open_store("feature_repo/redis.yaml", str(tmp_path)), "ann", str(tmp_path))
    assert ann.count() > 0
    ann.delete()

    assert ann.count() == 0
    assert held(before, "user_preference__r1") == []


OWN_STORE = """
from typing import Literal
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig

class OwnSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    type: Literal["own_store.OwnSqliteOnlineStore"] = "own_store.OwnSqliteOnlineStore"

class OwnSqliteOnlineStore(SqliteOnlineStore):
    def online_read(self, config, table, entity_keys, requested_features=None):
        if not requested_features:
            raise ValueError("Postgres reads nothing without names either")
        return super().online_read(config, table, entity_keys, requested_features)
"""


def test_values_are_overwritten_in_a_store_that_extends_a_known_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_store.py").write_text(OWN_STORE)
    monkeypatch.syspath_prepend(str(tmp_path))
    repo = shutil.copytree("feature_repo", tmp_path / "repo")
    shipped = (repo / "feature_store.yaml").read_text()
    (repo / "feature_store.yaml").write_text(
        shipped.replace("type: sqlite", "type: own_store.OwnSqliteOnlineStore").replace(
            "feature_store/online.db", "own.db"
        )
    )
    export(tmp_path, BOTH)
    store = open_store(str(repo), str(tmp_path))
    with feast_output_logged():
        apply_definitions(store, str(tmp_path))
    write_users(store, "user_preference__r1", ["ann", "bob"])

    ann = user_online(store, "ann", str(tmp_path))
    assert ann.count() == 2
    ann.delete()

    assert ann.count() == 0
    assert user_online(store, "bob", str(tmp_path)).count() == 2
    assert (
        "the key itself, which holds the id, stays in own_store.OwnSqliteOnlineStore"
        in ann.deletion
    )


def test_doctor_reports_whether_redis_answers_without_the_password(
    redis_server: str, free_port: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = redis_server.split("password=")[1]
    repo = FeatureStoreConfig(repo="feature_repo/redis.yaml")
    config = Config(warehouse=str(tmp_path), feature_store=repo)

    monkeypatch.setenv("EMBEDMILL_REDIS", redis_server)
    here = next(online(config, []))
    away = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("EMBEDMILL_REDIS", f"{away},password={password}")
    gone = next(online(config, []))

    assert (here.state, gone.state) == ("ok", "bad")
    assert redis_server.split(",")[0] in here.seen
    assert gone.seen.startswith(f"Redis at {away}: ")
    assert "EMBEDMILL_REDIS" in gone.advice
    assert password not in f"{here}{gone}"


def test_a_retire_waits_for_a_server_that_is_away(
    redis_server: str, free_port: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = redis_server.split("password=")[1]
    here = f"{redis_server},db=15"
    monkeypatch.setenv("EMBEDMILL_REDIS", here)
    export(tmp_path, BOTH)
    _apply(tmp_path)
    write(open_store("feature_repo/redis.yaml", str(tmp_path)), "spu_cope__r1", {"a": [1.0, 0.0]})
    export(tmp_path, NEXT)

    away = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("EMBEDMILL_REDIS", f"{away},password={password}")
    with pytest.raises(OnlineStoreUnavailable, match=f"Redis at {away}, .* run the same") as no:
        _apply(tmp_path)
    assert password not in str(no.value)
    monkeypatch.setenv("EMBEDMILL_REDIS", here.replace(password, "wrong"))
    with pytest.raises(OnlineStoreUnavailable, match="invalid username-password") as refused:
        _apply(tmp_path)
    assert "wrong" not in str(refused.value)

    monkeypatch.setenv("EMBEDMILL_REDIS", here)
    store = open_store("feature_repo/redis.yaml", str(tmp_path))
    assert held(store, "spu_cope__r1") == ["a"]
    _apply(tmp_path)
    export(tmp_path, BOTH)
    _apply(tmp_path)
    assert held(open_store("feature_repo/redis.yaml", str(tmp_path)), "spu_cope__r1") == []


def test_an_erasure_does_not_begin_while_the_server_is_away(
    free_port: Callable[[], int], tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("EMBEDMILL_REDIS", f"{away},password=secret")
    repo = FeatureStoreConfig(repo="feature_repo/redis.yaml")
    config = Config(warehouse=tables.warehouse, feature_store=repo)

    with pytest.raises(OnlineStoreUnavailable, match=f"Redis at {away}") as refused:
        forget(tables, config, "ann", watch=lambda what: nullcontext())

    assert "secret" not in str(refused.value)
    assert not tables.exists(FORGOTTEN)


def _apply(warehouse: Path) -> None:
    store = open_store("feature_repo/redis.yaml", str(warehouse))
    with feast_output_logged(), reporting_unavailable(store):
        apply_definitions(store, str(warehouse))
