"""Files of ``feature_repo``: its settings, found and checked, and its definitions, imported.

Feast is imported inside the functions: it takes eight seconds.
"""

import importlib
import json
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING

from pydantic import ValidationError

from spark_jobs.config import problems
from spark_jobs.contracts import KINDS
from spark_jobs.engine.environment import environment_variable
from spark_jobs.warehouse.layout import Layout

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


def settings_file(repo: str) -> Path:
    """Return the file of Feast's settings; the definitions are beside it.

    Args:
        repo: folder, relative to the working directory or to this checkout; or a file of settings.

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


def file_of(store: "FeatureStore", path: str) -> Path:
    """Return where a file that Feast's settings name lies; a relative one, by the definitions."""
    return Path(path) if Path(path).is_absolute() else Path(store.repo_path) / path


def check_environment(settings: Path) -> None:
    """Pass if every environment variable that the settings name is set.

    Raises:
        SettingsIncomplete: one is not.
    """
    text = re.sub(r"^\s*#.*$", "", settings.read_text(encoding="utf-8"), flags=re.MULTILINE)
    unset = sorted({name for name in _VARIABLE.findall(text) if not os.environ.get(name)})
    if unset:
        raise SettingsIncomplete(
            f"{settings} names environment variables that are not set: {', '.join(unset)}. "
            "The top of that file describes each."
        )


@contextmanager
def values_hidden(settings: Path) -> Iterator[None]:
    """Report what is wrong with the settings: Feast's errors quote values, the password's too.

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


@contextmanager
def warehouse_in_environment(warehouse: str) -> Iterator[None]:
    """Name the warehouse to settings and definitions, where Feast's command line names it too."""
    with environment_variable("EMBEDMILL_WAREHOUSE", Layout.of(warehouse).root):
        yield


@contextmanager
def definitions(folder: Path) -> Iterator[dict[str, ModuleType]]:
    """Import the definitions afresh by their bare names, and unload them: warehouses differ."""
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


def defined_views(folder: Path) -> dict[str, list[str]]:
    """Return the names of the feature views over each table, by its name.

    A view that each release has one of is ``<view>__<release>``.
    """
    encoders = {kind: f"{kind}@{0:012x}" for kind in KINDS}
    release = {"name": "r1", "state": "live", "encoders": encoders}
    names: dict[str, list[str]] = {}
    with TemporaryDirectory() as warehouse, warnings.catch_warnings():
        ignore_experimental()
        Path(Layout.of(warehouse).releases).write_text(json.dumps({"releases": [release]}))
        with warehouse_in_environment(warehouse), definitions(folder) as modules:
            for view in modules["feature_views"].VIEWS.values():
                name = view.name.replace("__r1", "__<release>")
                names.setdefault(view.tags["table"], []).append(name)
    return names


def ignore_experimental() -> None:
    """Silence Feast's warning, at each source that it reads, that its Spark parts are new."""
    # Its import sets a filter of its own.
    importlib.import_module("feast.infra.offline_stores.contrib.spark_offline_store.spark")
    warnings.filterwarnings("ignore", message=_EXPERIMENTAL, category=RuntimeWarning)
