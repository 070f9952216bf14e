"""Releases: which encoder versions a ranking model reads together, and which release is live.

States and the steps between them::

    building -> validated -> live <-> previous
        any of building, validated, previous -> retired

``building`` becomes ``validated`` by a backfill (``backfill.py``), which encodes, audits and serves
what is published already. Only the first release of a warehouse may go live straight from
``building``: nothing can be read of it before a night has passed its audit and is published. The
steps themselves are in ``release_steps.py``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from spark_jobs.contracts import (
    ITEM_EMBEDDINGS,
    RELEASES,
    SERVED_STATES,
    SPU_EMBEDDINGS,
    SPU_PREFERENCE_EMBEDDINGS,
    SPU_SEMANTIC_IDS,
    USER_EMBEDDINGS,
)
from spark_jobs.release_export import write_export
from spark_jobs.tables import Tables

State = Literal["building", "validated", "live", "previous", "retired"]
Action = Literal["create", "validate", "promote", "rollback", "retire"]
KINDS = ("cope", "learn_content", "learn_user", "learn_item", "semantic_id")

# Table -> encoder kind whose versions it has rows of; language model states are not published.
ENCODED: Mapping[str, str] = {
    ITEM_EMBEDDINGS.name: "cope",
    SPU_EMBEDDINGS.name: "cope",
    SPU_SEMANTIC_IDS.name: "semantic_id",
    SPU_PREFERENCE_EMBEDDINGS.name: "learn_item",
    USER_EMBEDDINGS.name: "learn_user",
}
# The stages that write them.
ENCODING_STAGES = ("item_embeddings", "spu_embeddings", "user_embeddings")


class UnknownRelease(LookupError):
    """No release has this name."""


@dataclass(frozen=True)
class Release:
    """The encoder versions that move together, by kind; see ``KINDS``."""

    name: str
    state: State
    encoders: Mapping[str, str]


@dataclass(frozen=True)
class Change:
    """A step in the life of a release: the state that it came to, by what, and when."""

    release: Release
    action: Action
    at: datetime


def all_changes(tables: Tables) -> list[Change]:
    """Return every step of every release, in order."""
    return [
        Change(
            Release(row["release"], row["state"], dict(row["encoders"])),
            row["action"],
            row["created_timestamp"],
        )
        for row in tables.read(RELEASES).orderBy("sequence").collect()
    ]


def all_releases(tables: Tables) -> list[Release]:
    """Return every release in its latest state, oldest first."""
    return list({c.release.name: c.release for c in all_changes(tables)}.values())


def named_release(tables: Tables, name: str) -> Release:
    """Return a release by its name.

    Raises:
        UnknownRelease: there is none.
    """
    return _named(all_releases(tables), name)


def served_releases(tables: Tables) -> list[Release]:
    """Return the releases to encode for, oldest first: those served, or the one of a backfill."""
    releases = all_releases(tables)
    if tables.backfills is not None:
        return [_named(releases, tables.backfills)]
    return [release for release in releases if release.state in SERVED_STATES]


def live_release(tables: Tables) -> Release | None:
    """Return the release that ``ranking`` points at; None before the first promote."""
    return next((r for r in all_releases(tables) if r.state == "live"), None)


def encoders_folder(warehouse: str) -> str:
    """Return the folder in which all encoder versions lie."""
    return f"{warehouse.rstrip('/')}/encoders"


def encoder_path(warehouse: str, version: str) -> str:
    """Return the folder of an encoder version."""
    return f"{encoders_folder(warehouse)}/{version}"


def export_releases(tables: Tables) -> str:
    """Tell ``feature_repo``: write ``<warehouse>/releases.json`` and return its path."""
    exported = [asdict(release) for release in all_releases(tables)]
    return write_export(tables.warehouse, exported)


def _named(releases: Sequence[Release], name: str) -> Release:
    by_name = {release.name: release for release in releases}
    if name not in by_name:
        raise UnknownRelease(
            f"no release {name!r}; there are {', '.join(sorted(by_name)) or 'none'}. "
            "Create one from trained encoders first (embedmill release create)."
        )
    return by_name[name]
