"""The feature store of a warehouse: opened, and its definitions registered for served releases.

Feast is imported inside the functions: it takes eight seconds.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spark_jobs.contracts import ENCODED
from spark_jobs.publish.feature_repo import (
    check_environment,
    defined_views,
    definitions,
    ignore_experimental,
    settings_file,
    values_hidden,
    warehouse_in_environment,
)
from spark_jobs.publish.online_stores import online_store
from spark_jobs.releases.ledger import served_releases
from spark_jobs.warehouse.locks import RELEASES_WAIT, releases_lock
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from feast import FeatureStore


def open_store(repo: str, warehouse: str) -> "FeatureStore":
    """Open the feature store of a warehouse.

    Args:
        repo: folder of the definitions, relative to the working directory or to this checkout; or a
            file in it with other settings than its ``feature_store.yaml``, such as ``redis.yaml``.
        warehouse: folder or URI of the warehouse.

    Raises:
        FeatureRepoMissing: there are no such settings.
        SettingsIncomplete: they name an environment variable that is not set.
        SettingsInvalid: they are not YAML, or not valid for Feast.
        NoServerNamed: their connection string names no server.
    """
    settings = settings_file(repo)
    with warehouse_in_environment(warehouse):
        check_environment(settings)
        from feast import FeatureStore

        ignore_experimental()
        # Feast warns at each start that one setting is of use with SQL registries alone. It is of
        # use with a file too: readers are refused without it, as a test shows.
        logging.getLogger("feast.repo_config").addFilter(_is_relevant)
        with values_hidden(settings):
            store = FeatureStore(repo_path=str(settings.parent), fs_yaml_file=settings)
    online_store(store)  # refuses settings that name no server
    return store


def apply_definitions(store: "FeatureStore", warehouse: str) -> None:
    """Register the views and services of the served releases; remove those of retired ones.

    What was materialized of a view that stays is kept. Applying the same again changes nothing.
    """
    with warehouse_in_environment(warehouse), definitions(store.repo_path) as modules:
        views, services = modules["feature_views"], modules["feature_services"]
        defined = [
            *views.VIEWS.values(),
            *views.AFFINITIES.values(),
            *services.SERVICES.values(),
        ]
        store.apply(
            [*modules["entities"].ENTITIES, *defined],
            objects_to_delete=_no_longer_defined(store, {each.name for each in defined}),
            partial=False,
        )


@contextmanager
def applied_definitions(store: "FeatureStore", tables: Tables) -> Iterator[None]:
    """Apply the definitions, and again, if need be, once the views are filled.

    Feast rewrites its registry whole when a view is filled: a promote meanwhile may be lost. The
    releases' lock is not held while they are filled, so that a promote need not wait.
    """
    with releases_lock(tables.warehouse, wait=RELEASES_WAIT):
        apply_definitions(store, tables.warehouse)
    yield
    with releases_lock(tables.warehouse, wait=RELEASES_WAIT):
        served = {release.name: release.state for release in served_releases(tables)}
        if misregistered(store, served):
            apply_definitions(store, tables.warehouse)


def pointed_release(store: "FeatureStore") -> str | None:
    """Return the release that the service ``ranking`` points at; None where there is none yet."""
    services = {service.name: service for service in store.list_feature_services()}
    release: str | None = services["ranking"].tags["release"] if "ranking" in services else None
    return release


def misregistered(store: "FeatureStore", served: Mapping[str, str]) -> list[str]:
    """Return a sentence for each registered service that is not that of a served release.

    Args:
        served: state of each served release, by name.
    """
    services = {service.name: service.tags for service in store.list_feature_services()}
    expected = {f"ranking__{release}": release for release in served}
    expected |= dict(("ranking", name) for name, state in served.items() if state == "live")
    registered = {name for name in services if re.fullmatch(r"ranking(__r\d+)?", name)}
    wrong = [
        f"{name} should be of {release}, but is of {services.get(name, {}).get('release')}"
        for name, release in expected.items()
        if services.get(name, {}).get("release") != release
    ]
    return wrong + [f"{name} is left over" for name in sorted(registered - expected.keys())]


def is_filled(store: "FeatureStore", release: str) -> bool:
    """Whether the release has a view of each table, and all of them were filled."""
    views = [v for v in store.list_feature_views() if v.tags.get("release") == release]
    filled = {view.tags["table"] for view in views if view.materialization_intervals}
    return filled == set(ENCODED)


def views_by_table(repo: str) -> dict[str, list[str]]:
    """Return the names of the feature views over each table, by its name.

    A view that each release has one of is ``<view>__<release>``.
    """
    return defined_views(settings_file(repo).parent)


def _is_relevant(record: logging.LogRecord) -> bool:
    return "serve_features_while_materializing" not in record.getMessage()


def _no_longer_defined(store: "FeatureStore", defined: set[str]) -> list[object]:
    registered = [
        *store.list_feature_services(),
        *store.list_on_demand_feature_views(),
        *store.list_feature_views(),
    ]
    return [definition for definition in registered if definition.name not in defined]
