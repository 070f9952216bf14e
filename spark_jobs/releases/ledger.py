"""Ledger of the releases: their states, and the changes that led to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from encoders.artifacts import NO_HISTORY
from spark_jobs.contracts import RELEASES
from spark_jobs.releases.export import write_export
from spark_jobs.releases.release import Release
from spark_jobs.warehouse.encoder_store import EncoderMissing, encoder_info
from spark_jobs.warehouse.tables import Tables

Action = Literal["create", "validate", "promote", "rollback", "retire"]


class UnknownRelease(LookupError):
    """No release has this name."""


@dataclass(frozen=True)
class Change:
    """A change of a release's state: the release in its new state, the action, and the time."""

    release: Release
    action: Action
    at: datetime


def all_changes(tables: Tables) -> list[Change]:
    """Return every change of every release, in order."""
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
    return [release for release in releases if release.is_served]


def live_release(tables: Tables) -> Release | None:
    """Return the release that ``ranking`` points at; None before the first promote."""
    return next((r for r in all_releases(tables) if r.state == "live"), None)


def export_releases(tables: Tables) -> str:
    """Write ``<warehouse>/releases.json``, which ``feature_repo`` reads, and return its path."""
    releases = all_releases(tables)
    vectors = {r.name: _no_history(tables, r) for r in releases if r.is_served}
    return write_export(tables.warehouse, releases, {n: v for n, v in vectors.items() if v})


def _no_history(tables: Tables, release: Release) -> list[float] | None:
    """Return the vector of a user without history; None where there is none.

    A folder that is missing must not keep the other releases from being exported.
    """
    try:
        config = encoder_info(tables, release.encoders["learn_user"]).config
    except EncoderMissing:
        return None
    return cast("list[float] | None", config.get(NO_HISTORY))


def _named(releases: Sequence[Release], name: str) -> Release:
    by_name = {release.name: release for release in releases}
    if name not in by_name:
        raise UnknownRelease(
            f"there is no release {name!r}. Releases: {', '.join(sorted(by_name)) or 'none'}. "
            "Create one from trained encoders first (embedmill release create)."
        )
    return by_name[name]
