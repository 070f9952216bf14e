"""The online store and Feast's registry: can they be reached, and do they know the releases?"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from spark_jobs.config import Config
from spark_jobs.operations.doctor.findings import Finding
from spark_jobs.releases.release import Release

if TYPE_CHECKING:
    from feast import FeatureStore

_STORE = "online store"
_REGISTRY = "registry"
_AGAIN = "embedmill run --config CONFIG --from publish --ds <last published night> fills it."
_NO_FILE = (
    "A night makes it: embedmill run --config CONFIG --ds NIGHT; if one is published, the last, "
    "--from publish."
)


def online(config: Config, served: Sequence[Release]) -> Iterator[Finding]:
    """Reach for the online store, and hold Feast's registry against the releases."""
    from spark_jobs.publish.feast_definitions import open_store

    store = open_store(config.feature_store.repo, config.warehouse)
    kind = store.config.online_store.type
    if kind == "sqlite":
        yield from _sqlite(store, served)
    elif kind == "redis":
        yield from _server(store, _ask_redis)
    elif kind == "postgres":
        yield from _server(store, _ask_postgres)
    else:
        yield Finding(_STORE, "warn", f"{kind}: not looked at", "Look at it with its own tools.")
    yield from _registry(store, served)


def _sqlite(store: "FeatureStore", served: Sequence[Release]) -> Iterator[Finding]:
    from spark_jobs.publish.feast_definitions import file_of

    file = file_of(store, store.config.online_store.path)
    if not file.exists():
        no_file = "SQLite, no file yet"
        if served:
            yield Finding(_STORE, "warn", no_file, _NO_FILE)
        else:
            yield Finding(_STORE, "ok", no_file)
        return
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if said == "ok":
        yield Finding(_STORE, "ok", f"SQLite, {file.stat().st_size / 1e6:.0f} MB, intact")
    else:
        do = f"Remove {file.parent} and publish the last night again: tables fill it anew."
        yield Finding(_STORE, "bad", f"SQLite: {said}", do)


def _server(store: "FeatureStore", ask: Callable[["FeatureStore"], object]) -> Iterator[Finding]:
    from spark_jobs.publish.online_errors import environment, server_name, without_password

    settings = store.config.online_store
    try:
        ask(store)
    except Exception as error:  # of whichever client
        do = f"Start it, or mend the connection in the environment ({environment(settings)})."
        seen = f"{server_name(settings)}: {without_password(str(error), settings)}"
        yield Finding(_STORE, "bad", seen, do)
    else:
        yield Finding(_STORE, "ok", f"{server_name(settings)} answers")


def _ask_redis(store: "FeatureStore") -> None:
    provider: Any = store._get_provider()
    provider.online_store._get_client(store.config.online_store).ping()


def _ask_postgres(store: "FeatureStore") -> None:
    from spark_jobs.publish.postgres_tables import connection

    with connection(store) as postgres:
        postgres.execute("SELECT 1")


def _registry(store: "FeatureStore", served: Sequence[Release]) -> Iterator[Finding]:
    if not served:
        yield Finding(_REGISTRY, "ok", "no release is served yet")
        return
    from spark_jobs.publish.feast_definitions import file_of, misregistered

    path = str(store.config.registry.path)
    if "://" not in path and not file_of(store, path).exists():
        # Feast would make the file as soon as it is asked.
        yield Finding(_REGISTRY, "warn", "no file yet", _NO_FILE)
        return
    wrong = misregistered(store, {release.name: release.state for release in served})
    if wrong:
        yield Finding(_REGISTRY, "bad", "; ".join(wrong), _AGAIN)
    else:
        yield Finding(_REGISTRY, "ok", f"{len(served)} release(s), as in releases.json")
