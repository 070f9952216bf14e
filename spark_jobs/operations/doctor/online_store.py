"""The online store and Feast's registry: whether they answer and serve the releases."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from spark_jobs.config import Config
from spark_jobs.operations.doctor.findings import Finding
from spark_jobs.releases.release import Release

if TYPE_CHECKING:
    from feast import FeatureStore

    from spark_jobs.publish.online_stores import Ping

_STORE = "online store"
_REGISTRY = "registry"
_AGAIN = "embedmill run --config CONFIG --from publish --ds <last published night> fills it."
_NO_FILE = (
    "A night makes it: embedmill run --config CONFIG --ds NIGHT; if one is published, the last, "
    "--from publish."
)


def online(config: Config, served: Sequence[Release]) -> Iterator[Finding]:
    """Ping the online store, and compare Feast's registry with the served releases."""
    from spark_jobs.publish.feast_definitions import open_store
    from spark_jobs.publish.online_stores import online_store

    store = open_store(config.feature_store.repo, config.warehouse)
    yield _finding(online_store(store).ping(), served)
    yield from _registry(store, served)


def _finding(ping: "Ping", served: Sequence[Release]) -> Finding:
    if ping.state == "absent":
        # Before the first release nothing has filled it, nor should have.
        return (
            Finding(_STORE, "warn", ping.seen, _NO_FILE)
            if served
            else Finding(_STORE, "ok", ping.seen)
        )
    return Finding(
        _STORE, "warn" if ping.state == "unknown" else ping.state, ping.seen, ping.advice
    )


def _registry(store: "FeatureStore", served: Sequence[Release]) -> Iterator[Finding]:
    if not served:
        yield Finding(_REGISTRY, "ok", "no release is served yet")
        return
    from spark_jobs.publish.feast_definitions import misregistered
    from spark_jobs.publish.feature_repo import file_of

    path = str(store.config.registry.path)
    if "://" not in path and not file_of(store, path).exists():
        # Feast would make the file as soon as it is read.
        yield Finding(_REGISTRY, "warn", "no file yet", _NO_FILE)
        return
    wrong = misregistered(store, {release.name: release.state for release in served})
    if wrong:
        yield Finding(_REGISTRY, "bad", "; ".join(wrong), _AGAIN)
    else:
        yield Finding(_REGISTRY, "ok", f"{len(served)} release(s), as in releases.json")
