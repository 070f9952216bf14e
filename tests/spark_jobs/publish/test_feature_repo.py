"""Feast's settings: found, complete, and no value of theirs in a message."""

import traceback
from pathlib import Path

import pytest
import yaml

from spark_jobs.config import DELTA_PACKAGE
from spark_jobs.publish.feast_definitions import open_store
from spark_jobs.publish.feature_repo import (
    FeatureRepoMissing,
    SettingsIncomplete,
    SettingsInvalid,
    defined_views,
    settings_file,
)
from spark_jobs.publish.online_stores import NoServerNamed


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeatureRepoMissing, match=r"no feature_store.yaml in .*nowhere"):
        settings_file(str(tmp_path / "nowhere"))


def test_the_settings_write_in_batches_and_name_the_same_version_of_delta() -> None:
    settings = yaml.safe_load(settings_file("feature_repo").read_text())
    assert settings["materialization"]["online_write_batch_size"] > 0
    assert settings["offline_store"]["spark_conf"]["spark.jars.packages"] == DELTA_PACKAGE


@pytest.mark.parametrize("kind", ["redis", "postgres"])
def test_other_settings_differ_in_the_online_store_and_its_registry_alone(kind: str) -> None:
    sqlite, other = (
        yaml.safe_load(settings_file(name).read_text())
        for name in ("feature_repo", f"feature_repo/{kind}.yaml")
    )
    assert other.pop("online_store")["type"] == kind
    assert sqlite.pop("online_store")["type"] == "sqlite"
    assert other["registry"].pop("path") != sqlite["registry"].pop("path")
    assert other == sqlite


@pytest.mark.parametrize("unset", [None, ""])
def test_a_variable_that_is_not_set_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unset: str | None
) -> None:
    monkeypatch.delenv("EMBEDMILL_REDIS", raising=False)
    if unset is not None:
        monkeypatch.setenv("EMBEDMILL_REDIS", unset)
    with pytest.raises(SettingsIncomplete, match=r"redis.yaml names .* not set: EMBEDMILL_REDIS"):
        open_store("feature_repo/redis.yaml", str(tmp_path))


@pytest.mark.parametrize(
    ("shipped", "mistaken", "named"),
    [
        ("  password: |-", "  passwrd: |-", "passwrd: Extra inputs"),
        ("  password: |-\n    $", "  password: [$", "not YAML at line"),
        ("  password: |-\n    $", "  password: *$", "not YAML at line"),
        ("  password: |-\n    $", "  password: !$", "not YAML at line"),
        ("  port: $", "  port: x$", "port: Input should be a valid integer"),
        ("  password: |-\n    ${", "  password: x: ${", "not YAML at line"),
    ],
)
def test_a_mistake_in_the_settings_is_named_and_no_value_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped: str, mistaken: str, named: str
) -> None:
    for name in ("HOST", "DATABASE", "USER", "PASSWORD"):
        monkeypatch.setenv(f"EMBEDMILL_POSTGRES_{name}", "hunter2")
    monkeypatch.setenv("EMBEDMILL_POSTGRES_PORT", "5432")
    text = Path("feature_repo/postgres.yaml").read_text()
    assert shipped in text
    (tmp_path / "own.yaml").write_text(text.replace(shipped, mistaken))

    with pytest.raises(SettingsInvalid, match=named) as refused:
        open_store(str(tmp_path / "own.yaml"), str(tmp_path))

    assert "hunter2" not in "".join(traceback.format_exception(refused.value))


def test_a_connection_string_without_a_server_is_refused_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBEDMILL_REDIS", "localhost,password=hunter2")
    with pytest.raises(NoServerNamed, match="should be HOST:PORT") as refused:
        open_store("feature_repo/redis.yaml", str(tmp_path))
    assert "hunter2" not in str(refused.value)


def test_the_views_over_a_table_are_named_for_any_release() -> None:
    views = defined_views(settings_file("feature_repo").parent)

    assert views["spus"] == ["spu_facts"]
    assert views["user_embeddings"] == ["user_preference__<release>"]
