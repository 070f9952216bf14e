"""Releases: which encoder versions a ranking model reads together, and which release is live."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pyspark.sql import functions as F

from spark_jobs.contracts import RELEASES
from spark_jobs.tables import Tables

State = Literal["building", "validated", "live", "previous", "retired"]
KINDS = ("cope", "learn_content", "learn_user", "learn_item", "semantic_id")
# Nights encode for these; the others have no reader.
SERVED_STATES = ("building", "validated", "live", "previous")


class UnknownRelease(LookupError):
    """No release has this name."""


@dataclass(frozen=True)
class Release:
    """The encoder versions that move together, by kind; see ``KINDS``."""

    name: str
    state: State
    encoders: Mapping[str, str]


def all_releases(tables: Tables) -> list[Release]:
    """Return every release in its latest state, oldest first."""
    latest: dict[str, Release] = {}
    rows = tables.read(RELEASES).orderBy("sequence").collect()
    for row in rows:
        latest[row["release"]] = Release(row["release"], row["state"], dict(row["encoders"]))
    return list(latest.values())


def served_releases(tables: Tables) -> list[Release]:
    """Return the releases that tonight has to encode for, oldest first."""
    return [release for release in all_releases(tables) if release.state in SERVED_STATES]


def served_encoders(tables: Tables, kind: str) -> list[str]:
    """Return the encoder versions of a kind that tonight has to encode with, each once."""
    return list(dict.fromkeys(release.encoders[kind] for release in served_releases(tables)))


def encoder_path(warehouse: str, version: str) -> str:
    """Return the folder of an encoder version."""
    return f"{warehouse.rstrip('/')}/encoders/{version}"


def create_release(tables: Tables, encoders: Mapping[str, str]) -> Release:
    """Record a new release in state ``building`` and return it.

    Raises:
        ValueError: an encoder version of some kind is missing, or a kind is unknown.
    """
    missing, unknown = set(KINDS) - set(encoders), set(encoders) - set(KINDS)
    if missing or unknown:
        raise ValueError(
            f"a release needs one encoder of each kind {KINDS}: missing {sorted(missing)}, unknown {sorted(unknown)}."
        )
    release = Release(f"r{len(all_releases(tables)) + 1}", "building", dict(encoders))
    _record(tables, release)
    return release


def promote(tables: Tables, name: str) -> Release:
    """Make a release the live one; the one that was live becomes ``previous``."""
    by_name = {release.name: release for release in all_releases(tables)}
    if name not in by_name:
        raise UnknownRelease(f"no release {name!r}; there are {sorted(by_name)}.")
    for release in by_name.values():
        if release.state == "live" and release.name != name:
            _record(tables, replace(release, state="previous"))
    if by_name[name].state != "live":
        _record(tables, replace(by_name[name], state="live"))
    return replace(by_name[name], state="live")


def live_release(tables: Tables) -> Release | None:
    """Return the release that ``ranking`` points at; None before the first promote."""
    return next((r for r in all_releases(tables) if r.state == "live"), None)


def _record(tables: Tables, release: Release) -> None:
    newest = tables.read(RELEASES).agg(F.max("sequence")).collect()[0][0] or 0
    rows = [(release.name, newest + 1, release.state, dict(release.encoders))]
    ddl = "release string, sequence int, state string, encoders map<string,string>"
    tables.append(tables.spark.createDataFrame(rows, ddl), RELEASES)
