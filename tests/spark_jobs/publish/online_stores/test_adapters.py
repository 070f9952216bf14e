"""The table of online stores: what a store without an adapter gets, and what one more needs."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pytest

from spark_jobs.config import Config, FeatureStoreConfig
from spark_jobs.contracts import KINDS
from spark_jobs.operations.doctor.findings import Finding
from spark_jobs.operations.doctor.online_store import online
from spark_jobs.operations.erasure.online_store import user_online
from spark_jobs.publish.feast_definitions import apply_definitions, open_store
from spark_jobs.publish.feature_repo import settings_file
from spark_jobs.publish.materialization import feast_output_logged
from spark_jobs.publish.online_stores import OnlineStoreUnavailable, reporting_unavailable
from spark_jobs.publish.online_stores.adapters import ADAPTERS
from spark_jobs.publish.online_values import keys_only_online
from spark_jobs.publish.reconciliation import never_published

if TYPE_CHECKING:
    from feast import FeatureStore

HERE = Path(__file__).parent
TYPE = "toy_online_store.ToyOnlineStore"


@pytest.fixture
def feasts_toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store of Feast's that the platform has no adapter of, importable by its name."""
    monkeypatch.syspath_prepend(str(HERE))
    yield
    sys.modules.pop("toy_online_store", None)


@pytest.fixture
def repo(feasts_toy: None, tmp_path: Path) -> str:
    """Settings that name that store."""
    copied = shutil.copytree(settings_file("feature_repo").parent, tmp_path / "repo")
    shipped = (copied / "feature_store.yaml").read_text()
    before, after = shipped.split("online_store:\n")
    _, after = after.split("offline_store:\n")
    settings = f"{before}online_store:\n  type: {TYPE}\noffline_store:\n{after}"
    (copied / "feature_store.yaml").write_text(settings)
    return str(copied)


@pytest.fixture
def adapted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapter of that store, registered by one line of the table."""
    monkeypatch.setitem(ADAPTERS, TYPE, _adapter().ToyStore)


def _adapter() -> ModuleType:
    spec = importlib.util.spec_from_file_location("toy", HERE / "toy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def filled(repo: str, warehouse: Path) -> "FeatureStore":
    """Return a store in which two users have a vector."""
    encoders = {kind: f"{kind}@{position:012x}" for position, kind in enumerate(KINDS, start=1)}
    release = {"name": "r1", "state": "live", "encoders": encoders}
    (warehouse / "releases.json").write_text(json.dumps({"releases": [release]}))
    store = open_store(repo, str(warehouse))
    rows = pd.DataFrame({"user_id": ["ann", "bob"], "n_events": [3, 3]})
    rows["user_preference"] = [[1.0, 0.0]] * 2
    rows["event_timestamp"] = rows["created_timestamp"] = pd.Timestamp("2026-02-01", tz="UTC")
    with feast_output_logged():
        apply_definitions(store, str(warehouse))
        store.write_to_online_store("user_preference__r1", rows)
    return store


def ping_of(repo: str, warehouse: Path) -> Finding:
    config = Config(warehouse=str(warehouse), feature_store=FeatureStoreConfig(repo))
    return next(online(config, []))


def test_a_store_needs_one_file_and_one_line_to_be_reconciled(
    repo: str, adapted: None, tmp_path: Path
) -> None:
    store = filled(repo, tmp_path)
    view = store.get_feature_view("user_preference__r1")

    assert keys_only_online(store, view, [("ann",)]) == [("bob",)]
    (difference,) = never_published(store, view, pa.table({"user_id": ["ann"]}))
    assert difference.key == ("bob",)


def test_a_store_needs_one_file_and_one_line_to_forget_a_user(
    repo: str, adapted: None, tmp_path: Path
) -> None:
    store = filled(repo, tmp_path)

    ann = user_online(store, "ann", str(tmp_path))
    assert ann.count() == 1
    ann.delete()

    assert ann.count() == 0
    assert user_online(store, "bob", str(tmp_path)).count() == 1
    assert ann.deletion == "the user's entries deleted from memory"


def test_a_store_needs_one_file_and_one_line_to_be_pinged_and_reported(
    repo: str, adapted: None, tmp_path: Path
) -> None:
    store = filled(repo, tmp_path)

    finding = next(
        online(Config(warehouse=str(tmp_path), feature_store=FeatureStoreConfig(repo)), [])
    )
    assert (finding.state, finding.seen) == ("ok", "a toy with 1 views")
    with (
        pytest.raises(OnlineStoreUnavailable, match=r"^the toy is unavailable\. .*run the same"),
        reporting_unavailable(store),
    ):
        raise MemoryError
    with pytest.raises(KeyError), reporting_unavailable(store):
        raise KeyError


def test_a_store_without_an_adapter_is_not_searched_for_keys(repo: str, tmp_path: Path) -> None:
    store = filled(repo, tmp_path)
    view = store.get_feature_view("user_preference__r1")

    assert never_published(store, view, pa.table({"user_id": ["ann"]})) == []
    finding = next(
        online(Config(warehouse=str(tmp_path), feature_store=FeatureStoreConfig(repo)), [])
    )
    assert (finding.state, finding.seen) == ("warn", f"{TYPE}: not looked at")


def test_the_key_of_a_user_stays_in_a_store_without_an_adapter(repo: str, tmp_path: Path) -> None:
    store = filled(repo, tmp_path)

    ann = user_online(store, "ann", str(tmp_path))
    assert ann.count() == 2
    ann.delete()

    assert ann.count() == 0
    assert user_online(store, "bob", str(tmp_path)).count() == 2
    assert f"the key itself, which holds the id, stays in {TYPE}" in ann.deletion


def test_no_driver_is_imported_before_its_store_is_used() -> None:
    program = (
        "import sys, spark_jobs.publish.online_stores; "
        "print(sorted({'feast', 'redis', 'psycopg'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


def test_sqlite_needs_no_driver_of_other_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for driver in ("redis", "redis.exceptions", "psycopg"):
        monkeypatch.setitem(sys.modules, driver, None)

    store = filled("feature_repo", tmp_path)
    ann = user_online(store, "ann", str(tmp_path))
    ann.delete()
    with pytest.raises(KeyError), reporting_unavailable(store):
        raise KeyError

    assert ann.count() == 0
