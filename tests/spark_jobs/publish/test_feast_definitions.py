"""The feature definitions, as Feast gets them for a warehouse with two served releases."""

import json
import os
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import SparkSession

from spark_jobs.contracts import KINDS, TABLES
from spark_jobs.publish.feast_definitions import apply_definitions, open_store
from spark_jobs.publish.feature_repo import settings_file
from spark_jobs.publish.materialization import feast_output_logged

if TYPE_CHECKING:
    from feast import FeatureStore

ENCODERS = {kind: f"{kind}@{position:012x}" for position, kind in enumerate(KINDS, start=1)}


def export(warehouse: Path, states: dict[str, str], encoders: dict[str, str] = ENCODERS) -> None:
    warehouse.mkdir(exist_ok=True)
    releases: list[dict[str, object]] = [
        {"name": name, "state": state, "encoders": encoders} for name, state in states.items()
    ]
    releases[0]["no_history"] = [0.6, 0.8]
    (warehouse / "releases.json").write_text(json.dumps({"releases": releases}))


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("it's a") / "ware house"
    export(folder, {"r1": "live", "r2": "validated", "r3": "retired"})
    return folder


@pytest.fixture(scope="module")
def store(warehouse: Path) -> "FeatureStore":
    opened = open_store("feature_repo", str(warehouse))
    with feast_output_logged():
        apply_definitions(opened, str(warehouse))
    return opened


def test_each_served_release_has_its_own_views(store: "FeatureStore") -> None:
    assert sorted(view.name for view in store.list_feature_views()) == [
        "item_cope__r1",
        "item_cope__r2",
        "item_spu",
        "spu_cope__r1",
        "spu_cope__r2",
        "spu_facts",
        "spu_preference__r1",
        "spu_preference__r2",
        "spu_semantic_ids__r1",
        "spu_semantic_ids__r2",
        "user_preference__r1",
        "user_preference__r2",
    ]
    assert sorted(view.name for view in store.list_on_demand_feature_views()) == [
        "user_spu_affinity__r1",
        "user_spu_affinity__r2",
    ]


def test_the_service_ranking_is_that_of_the_live_release(store: "FeatureStore") -> None:
    services = {service.name: service for service in store.list_feature_services()}
    assert sorted(services) == [
        "items",
        "items__r1",
        "items__r2",
        "ranking",
        "ranking__r1",
        "ranking__r2",
    ]
    views = [projection.name for projection in services["ranking"].feature_view_projections]
    assert views == [p.name for p in services["ranking__r1"].feature_view_projections]
    assert "spu_cope__r1" in views


def test_the_command_line_of_feast_finds_the_same_definitions(
    store: "FeatureStore", warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feast.repo_operations import parse_repo

    folder = settings_file("feature_repo").parent
    monkeypatch.setenv("EMBEDMILL_WAREHOUSE", str(warehouse))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder)
    found = parse_repo(folder)
    for name in ("entities", "data_sources", "feature_views", "feature_services"):
        del sys.modules[name]

    def names(definitions: Iterable[object]) -> set[str]:
        return {definition.name for definition in definitions}  # type: ignore[attr-defined]

    assert names(found.feature_views) == names(store.list_feature_views())
    assert names(found.on_demand_feature_views) == names(store.list_on_demand_feature_views())
    assert names(found.feature_services) == names(store.list_feature_services())
    assert names(found.data_sources) == names(store.list_data_sources())


def test_every_view_is_described(store: "FeatureStore") -> None:
    views = [*store.list_feature_views(), *store.list_on_demand_feature_views()]
    for view in views:
        assert view.description, view.name
        assert view.owner, view.name
        assert view.schema if hasattr(view, "schema") else view.features, view.name
        assert view.tags, view.name
    for view in store.list_feature_views():
        assert view.ttl, view.name
        assert TABLES[view.tags["table"]], view.name
        assert all(feature.description for feature in view.features), view.name
        if "__" in view.name:
            assert view.tags["release"] == view.name.split("__")[1]
            assert f"'{view.tags['encoder_version']}'" in view.batch_source.query


def test_views_read_the_columns_of_their_table(store: "FeatureStore") -> None:
    for view in store.list_feature_views():
        ddl = TABLES[view.tags["table"]].ddl
        assert all(key in ddl for key in view.join_keys), view.name


def test_applying_again_keeps_what_was_materialized(store: "FeatureStore", warehouse: Path) -> None:
    view = store.get_feature_view("spu_cope__r1")
    store.registry.apply_materialization(
        view, store.project, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    )
    with feast_output_logged():
        apply_definitions(store, str(warehouse))
    assert len(store.get_feature_view("spu_cope__r1").materialization_intervals) == 1


def test_a_retired_release_leaves_and_another_can_be_promoted(tmp_path: Path) -> None:
    export(tmp_path, {"r1": "live", "r2": "validated"})
    opened = open_store("feature_repo", str(tmp_path))
    with feast_output_logged():
        apply_definitions(opened, str(tmp_path))
        export(tmp_path, {"r1": "retired", "r2": "live"})
        apply_definitions(opened, str(tmp_path))
    assert not [v.name for v in opened.list_feature_views() if v.name.endswith("__r1")]
    ranking = opened.get_feature_service("ranking")
    assert "spu_cope__r2" in [p.name for p in ranking.feature_view_projections]


def test_a_warehouse_without_releases_has_facts_alone(tmp_path: Path) -> None:
    opened = open_store("feature_repo", str(tmp_path))
    with feast_output_logged():
        apply_definitions(opened, str(tmp_path))
    assert sorted(view.name for view in opened.list_feature_views()) == ["item_spu", "spu_facts"]
    assert opened.list_feature_services() == []


def test_an_invalid_encoder_version_never_reaches_sql(tmp_path: Path) -> None:
    export(tmp_path, {"r1": "live"}, ENCODERS | {"cope": "x' OR 1=1 --"})
    opened = open_store("feature_repo", str(tmp_path))
    with pytest.raises(ValueError, match=r"x' OR 1=1 --.*should be a release named"):
        apply_definitions(opened, str(tmp_path))


def test_loading_the_definitions_leaves_neither_modules_nor_environment(
    store: "FeatureStore",
) -> None:
    assert "EMBEDMILL_WAREHOUSE" not in os.environ
    assert "feature_views" not in sys.modules
    assert store.config.online_store.path.endswith("ware house/feature_store/online.db")


def test_affinity_is_the_cosine(store: "FeatureStore") -> None:
    affinity = store.get_on_demand_feature_view("user_spu_affinity__r1").feature_transformation.udf
    read = affinity(
        {
            "user_preference": [[1.0, 0.0], [0.0, 2.0], None, [0.0, 0.0], []],
            "spu_preference": [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0], None],
            "spu_popularity": [0.1, 0.2, 0.3, 0.4, None],
        }
    )
    assert read == {
        "user_spu_affinity": [1.0, 0.0, 0.3, None, None],
        "has_history": [True, True, False, True, False],
    }


def test_popularity_is_the_cosine_with_the_vector_that_the_release_exports(
    store: "FeatureStore", spark: SparkSession
) -> None:
    vectors = spark.createDataFrame([([0.5, 1.0],), (None,)], "embedding array<float>")
    expressions = [
        re.search(
            r"IF\(is_active, ((?:(?!IF).)*), NULL\) AS spu_popularity", view.batch_source.query
        )
        for view in map(store.get_feature_view, ("spu_preference__r1", "spu_preference__r2"))
    ]
    read = vectors.selectExpr(*[found[1] for found in expressions if found]).collect()
    assert [row[0] for row in read] == [pytest.approx(0.3 + 0.8), None]
    assert [row[1] for row in read] == [None, None]
