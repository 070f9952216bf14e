"""How the definitions of ``feature_repo`` are loaded and applied for a warehouse, without a shell.

Feast is imported inside the functions: it takes eight seconds.
"""

import importlib
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING

from pydantic import ValidationError

from spark_jobs.config import problems
from spark_jobs.contracts import ENCODED, KINDS
from spark_jobs.publish.online_errors import check_server
from spark_jobs.releases.ledger import served_releases
from spark_jobs.warehouse.locks import RELEASES_WAIT, releases_lock
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from feast import FeatureStore

# In the order of their imports. Feast's own loader changes the working directory of the process.
_MODULES = ("entities", "data_sources", "feature_views", "feature_services")
_EXPERIMENTAL = "(The spark|On demand) .* is an experimental feature"
_SETTINGS = "feature_store.yaml"
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_CHECKOUT = Path(__file__).resolve().parents[2]


class FeatureRepoMissing(LookupError):
    """There is no folder of feature definitions where the configuration says."""


class SettingsIncomplete(LookupError):
    """Feast's settings name an environment variable that is not set."""


class SettingsInvalid(ValueError):
    """Feast's settings cannot be used."""


def open_store(repo: str, warehouse: str) -> "FeatureStore":
    """Open the feature store of a warehouse.

    Args:
        repo: folder of the definitions, relative to the working directory or to this checkout; or a
            file in it with other settings than its ``feature_store.yaml``, such as ``redis.yaml``.
        warehouse: folder or URI of the warehouse.

    Raises:
        FeatureRepoMissing: there are no such settings.
        SettingsIncomplete: they name an environment variable that is not set.
        SettingsInvalid: they are no YAML, or not what Feast knows.
        NoServerNamed: their connection string names no server.
    """
    settings = settings_file(repo)
    with _warehouse_named(warehouse):
        _check_environment(settings)
        from feast import FeatureStore

        _ignore_experimental()
        # A setting of ours is of use with SQL registries alone, Feast says at each start; with a
        # file readers are refused without it, as a test shows.
        logging.getLogger("feast.repo_config").addFilter(_is_news)
        with _no_values_shown(settings):
            store = FeatureStore(repo_path=str(settings.parent), fs_yaml_file=settings)
    check_server(store)
    return store


def apply_definitions(store: "FeatureStore", warehouse: str) -> None:
    """Register the views and services of the served releases; remove those of retired ones.

    What was materialized of a view that stays is kept. Applying the same again changes nothing.
    """
    with _warehouse_named(warehouse), _definitions(store.repo_path) as modules:
        views, services = modules["feature_views"], modules["feature_services"]
        defined = [
            *views.VIEWS.values(),
            *views.AFFINITIES.values(),
            *services.SERVICES.values(),
        ]
        store.apply(
            [*modules["entities"].ENTITIES, *defined],
            objects_to_delete=_left_over(store, {each.name for each in defined}),
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


def file_of(store: "FeatureStore", path: str) -> Path:
    """Return where a file that Feast's settings name lies; a relative one, by the definitions."""
    return Path(path) if Path(path).is_absolute() else Path(store.repo_path) / path


def pointed_release(store: "FeatureStore") -> str | None:
    """Return the release that the service ``ranking`` points at; None where there is none yet."""
    services = {service.name: service for service in store.list_feature_services()}
    release: str | None = services["ranking"].tags["release"] if "ranking" in services else None
    return release


def misregistered(store: "FeatureStore", served: Mapping[str, str]) -> list[str]:
    """Say in words which services are not those of the served releases.

    Args:
        served: state of each served release, by name.
    """
    services = {service.name: service.tags for service in store.list_feature_services()}
    expected = {f"ranking__{release}": release for release in served}
    expected |= dict(("ranking", name) for name, state in served.items() if state == "live")
    pinned = {name for name in services if re.fullmatch(r"ranking(__r\d+)?", name)}
    wrong = [
        f"{name} should be of {release}, but is of {services.get(name, {}).get('release')}"
        for name, release in expected.items()
        if services.get(name, {}).get("release") != release
    ]
    return wrong + [f"{name} is left over" for name in sorted(pinned - expected.keys())]


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


def defined_views(folder: Path) -> dict[str, list[str]]:
    """Return what ``views_by_table`` does of the definitions in a folder."""
    encoders = {kind: f"{kind}@{0:012x}" for kind in KINDS}
    release = {"name": "r1", "state": "live", "encoders": encoders}
    names: dict[str, list[str]] = {}
    with TemporaryDirectory() as warehouse, warnings.catch_warnings():
        _ignore_experimental()
        Path(warehouse, "releases.json").write_text(json.dumps({"releases": [release]}))
        with _warehouse_named(warehouse), _definitions(folder) as modules:
            for view in modules["feature_views"].VIEWS.values():
                name = view.name.replace("__r1", "__<release>")
                names.setdefault(view.tags["table"], []).append(name)
    return names


def settings_file(repo: str) -> Path:
    """Return the file of Feast's settings; the definitions are beside it.

    Raises:
        FeatureRepoMissing: it is not there.
    """
    named = Path(repo) if Path(repo).suffix in (".yaml", ".yml") else Path(repo, _SETTINGS)
    candidates = (named.resolve(), _CHECKOUT / named)
    for file in candidates:
        if file.is_file():
            return file
    folders = " or ".join(str(file.parent) for file in dict.fromkeys(candidates))
    raise FeatureRepoMissing(
        f"no {named.name} in {folders}. "
        "Set feature_store.repo to the folder of the definitions, or to a file of settings in it."
    )


def _is_news(record: logging.LogRecord) -> bool:
    return "serve_features_while_materializing" not in record.getMessage()


def _check_environment(settings: Path) -> None:
    text = re.sub(r"^\s*#.*$", "", settings.read_text(encoding="utf-8"), flags=re.MULTILINE)
    unset = sorted({name for name in _VARIABLE.findall(text) if not os.environ.get(name)})
    if unset:
        raise SettingsIncomplete(
            f"{settings} names environment variables that are not set: {', '.join(unset)}. "
            "What each should hold is said at the top of that file."
        )


@contextmanager
def _no_values_shown(settings: Path) -> Iterator[None]:
    """Name what is wrong with the settings: Feast's errors quote values, the password's among them.

    Raises:
        SettingsInvalid: the settings cannot be used.
    """
    from feast.repo_config import FeastConfigError
    from yaml import MarkedYAMLError

    try:
        yield
    except MarkedYAMLError as error:
        where = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        # Even the name of the problem may quote a value: *secret is an alias, !secret a tag.
        raise SettingsInvalid(
            f"{settings} is not YAML{where}. Put a value of any characters in a block, as "
            "feature_repo/postgres.yaml does: |- and the value on a line of its own."
        ) from None
    except FeastConfigError as error:
        (cause,) = error.args
        wrong = problems(cause) if isinstance(cause, ValidationError) else type(cause).__name__
        raise SettingsInvalid(f"{settings}: {wrong}. Mend the file, or the environment.") from None


def _ignore_experimental() -> None:
    """Feast calls its Spark parts experimental each time that it reads a source: we know."""
    # Its import sets a filter of its own.
    importlib.import_module("feast.infra.offline_stores.contrib.spark_offline_store.spark")
    warnings.filterwarnings("ignore", message=_EXPERIMENTAL, category=RuntimeWarning)


def _left_over(store: "FeatureStore", kept: set[str]) -> list[object]:
    registered = [
        *store.list_feature_services(),
        *store.list_on_demand_feature_views(),
        *store.list_feature_views(),
    ]
    return [definition for definition in registered if definition.name not in kept]


@contextmanager
def _warehouse_named(warehouse: str) -> Iterator[None]:
    """Name the warehouse to the definitions, which Feast's CLI loads too: in the environment."""
    before = os.environ.get("EMBEDMILL_WAREHOUSE")
    os.environ["EMBEDMILL_WAREHOUSE"] = (
        warehouse if "://" in warehouse else str(Path(warehouse).resolve())
    )
    try:
        yield
    finally:
        if before is None:
            del os.environ["EMBEDMILL_WAREHOUSE"]
        else:
            os.environ["EMBEDMILL_WAREHOUSE"] = before


@contextmanager
def _definitions(folder: Path) -> Iterator[dict[str, ModuleType]]:
    """Import the definitions afresh under their bare names, and forget them: warehouses differ."""
    shadowed = {name: sys.modules.pop(name) for name in _MODULES if name in sys.modules}
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield {name: importlib.import_module(name) for name in _MODULES}
    finally:
        sys.path.remove(str(folder))
        for name in _MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(shadowed)
