"""Releases: which encoder versions a ranking model reads together, and which release is live.

States and the steps between them::

    building -> validated -> live <-> previous
        any of building, validated, previous -> retired

``building`` becomes ``validated`` when an audited night has encoded for it. Only the first release
of a warehouse may go live straight from ``building``: nothing can be read of it before a night has
passed its audit and is published.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from typing import Literal

import fsspec
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import (
    ITEM_EMBEDDINGS,
    RELEASES,
    SPU_EMBEDDINGS,
    SPU_PREFERENCE_EMBEDDINGS,
    SPU_SEMANTIC_IDS,
    USER_EMBEDDINGS,
    Table,
)
from spark_jobs.frames import local_frame
from spark_jobs.tables import Tables

State = Literal["building", "validated", "live", "previous", "retired"]
KINDS = ("cope", "learn_content", "learn_user", "learn_item", "semantic_id")
# Nights encode for these; the others have no reader.
SERVED_STATES = ("building", "validated", "live", "previous")

_NEXT_STATES: Mapping[State, tuple[State, ...]] = {
    "building": ("validated", "retired"),
    "validated": ("live", "retired"),
    "live": ("previous",),
    "previous": ("live", "retired"),
    "retired": (),
}
# Where an encoder's vectors are published; the language model's states are not.
_ENCODED_BY: tuple[tuple[str, Table], ...] = (
    ("cope", ITEM_EMBEDDINGS),
    ("cope", SPU_EMBEDDINGS),
    ("semantic_id", SPU_SEMANTIC_IDS),
    ("learn_item", SPU_PREFERENCE_EMBEDDINGS),
    ("learn_user", USER_EMBEDDINGS),
)


class UnknownRelease(LookupError):
    """No release has this name."""


class TransitionRefused(ValueError):
    """The release may not go from its state to the one asked for."""


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


def live_release(tables: Tables) -> Release | None:
    """Return the release that ``ranking`` points at; None before the first promote."""
    return next((r for r in all_releases(tables) if r.state == "live"), None)


def encoder_kind(table: Table) -> str | None:
    """Return the kind of encoder whose output a published table holds; None where no model is."""
    return next((kind for kind, encoded in _ENCODED_BY if encoded == table), None)


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
            f"a release needs one encoder of each kind {KINDS}: "
            f"missing {sorted(missing)}, unknown {sorted(unknown)}."
        )
    release = Release(f"r{len(all_releases(tables)) + 1}", "building", dict(encoders))
    _record(tables, [release])
    return release


def promote(tables: Tables, name: str) -> Release:
    """Make a release the live one; the one that was live becomes ``previous``. Twice is once.

    Raises:
        UnknownRelease: no release has this name.
        TransitionRefused: no audited night has encoded for it yet, or it is retired.
    """
    releases = all_releases(tables)
    chosen = _named(releases, name)
    if chosen.state == "live":
        # A promote that was killed before its export is finished by the next one.
        export_releases(tables)
        return chosen
    if not _first_of_warehouse(chosen, releases):
        _check_step(chosen, "live")
    outgoing = [_moved(release, "previous") for release in releases if release.state == "live"]
    promoted = replace(chosen, state="live")
    # One commit: there is never a moment with two live releases, or with none.
    _record(tables, [*outgoing, promoted])
    return promoted


def validate_encoded(tables: Tables) -> list[Release]:
    """Move each ``building`` release that the published tables have vectors of to ``validated``.

    To be called once a night has passed its audit and is published.
    """
    building = [release for release in all_releases(tables) if release.state == "building"]
    if not building:
        return []
    published = _published_encoders(tables)
    # A table without any row, such as user_embeddings without interactions, asks for nothing.
    filled = {name for name, _ in published}
    expected = [(kind, table.name) for kind, table in _ENCODED_BY if table.name in filled]
    validated = [
        _moved(release, "validated")
        for release in building
        if expected and all((name, release.encoders[kind]) in published for kind, name in expected)
    ]
    if validated:
        _record(tables, validated)
    return validated


def export_releases(tables: Tables) -> str:
    """Write ``<warehouse>/releases.json``, which ``feature_repo`` declares its views from."""
    releases = all_releases(tables)
    live = next((release.name for release in releases if release.state == "live"), None)
    content = {"live": live, "releases": [asdict(release) for release in releases]}
    path = f"{tables.warehouse}/releases.json"
    filesystem, root = fsspec.url_to_fs(path)
    # Written beside and moved over: a reader sees the old file or the new one, never half of one.
    filesystem.pipe_file(f"{root}.new", (json.dumps(content, indent=2) + "\n").encode())
    filesystem.mv(f"{root}.new", root)
    return path


def _named(releases: Sequence[Release], name: str) -> Release:
    by_name = {release.name: release for release in releases}
    if name not in by_name:
        raise UnknownRelease(
            f"no release {name!r}; there are {sorted(by_name)}. "
            "Create one from trained encoders first."
        )
    return by_name[name]


def _first_of_warehouse(release: Release, releases: Sequence[Release]) -> bool:
    """Whether nothing was ever live: no reader can break, and the first night needs a live one."""
    return release.state == "building" and not any(
        other.state in ("live", "previous") for other in releases
    )


def _moved(release: Release, state: State) -> Release:
    _check_step(release, state)
    return replace(release, state=state)


def _check_step(release: Release, state: State) -> None:
    if state in _NEXT_STATES[release.state]:
        return
    allowed = _NEXT_STATES[release.state] or ("nothing",)
    hint = (
        " Run a night: its audit validates the release."
        if (release.state, state) == ("building", "live")
        else ""
    )
    raise TransitionRefused(
        f"release {release.name!r} is {release.state} and cannot become {state}; "
        f"it can become {', '.join(allowed)}.{hint}"
    )


def _published_encoders(tables: Tables) -> set[tuple[str, str]]:
    """Return (table, encoder version) of all that is published."""
    tagged = [
        tables.read(table).select(F.lit(table.name).alias("name"), "encoder_version")
        for _, table in _ENCODED_BY
    ]
    # One row a table and version, whatever the number of vectors.
    found = reduce(DataFrame.unionByName, tagged).distinct().collect()
    return {(row["name"], row["encoder_version"]) for row in found}


def _record(tables: Tables, releases: Sequence[Release]) -> None:
    newest = tables.read(RELEASES).agg(F.max("sequence")).collect()[0][0] or 0
    rows = [
        (release.name, newest + position, release.state, dict(release.encoders))
        for position, release in enumerate(releases, start=1)
    ]
    ddl = "release string, sequence int, state string, encoders map<string,string>"
    tables.append(local_frame(tables.spark, rows, ddl), RELEASES)
    export_releases(tables)
