"""Releases: which encoder versions a ranking model reads together, and which release is live.

States and the steps between them::

    building -> validated -> live <-> previous
        any of building, validated, previous -> retired

``building`` becomes ``validated`` by a backfill (``backfill.py``), which encodes, audits and serves
what is published already. Only the first release of a warehouse may go live straight from
``building``: nothing can be read of it before a night has passed its audit and is published.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Literal

from pyspark.sql import functions as F

from spark_jobs.contracts import (
    ITEM_EMBEDDINGS,
    RELEASES,
    SPU_EMBEDDINGS,
    SPU_PREFERENCE_EMBEDDINGS,
    SPU_SEMANTIC_IDS,
    USER_EMBEDDINGS,
)
from spark_jobs.frames import local_frame
from spark_jobs.release_export import exported_live, write_export
from spark_jobs.tables import Tables

State = Literal["building", "validated", "live", "previous", "retired"]
Action = Literal["create", "validate", "promote", "rollback", "retire"]
KINDS = ("cope", "learn_content", "learn_user", "learn_item", "semantic_id")
# Nights encode for these, and Feast has views of them; the others have no reader.
SERVED_STATES = ("validated", "live", "previous")

_NEXT_STATES: Mapping[State, tuple[State, ...]] = {
    "building": ("validated", "retired"),
    "validated": ("live", "retired"),
    "live": ("previous",),
    "previous": ("live", "retired"),
    "retired": (),
}
# Table -> encoder kind whose versions it has rows of; language model states are not published.
ENCODED: Mapping[str, str] = {
    ITEM_EMBEDDINGS.name: "cope",
    SPU_EMBEDDINGS.name: "cope",
    SPU_SEMANTIC_IDS.name: "semantic_id",
    SPU_PREFERENCE_EMBEDDINGS.name: "learn_item",
    USER_EMBEDDINGS.name: "learn_user",
}


class UnknownRelease(LookupError):
    """No release has this name."""


class IncompleteRelease(ValueError):
    """An encoder version of some kind is missing, or a kind is unknown."""


class TransitionRefused(ValueError):
    """The release may not go from its state to the one asked for."""


class AlreadyLive(TransitionRefused):
    """The release is the live one."""


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


def encoder_path(warehouse: str, version: str) -> str:
    """Return the folder of an encoder version."""
    return f"{warehouse.rstrip('/')}/encoders/{version}"


def create_release(tables: Tables, encoders: Mapping[str, str]) -> Release:
    """Record a new release in state ``building`` and return it.

    Raises:
        IncompleteRelease: an encoder version of some kind is missing, or a kind is unknown.
    """
    check_kinds(encoders)
    release = Release(f"r{len(all_releases(tables)) + 1}", "building", dict(encoders))
    _record(tables, [release], "create")
    return release


def check_kinds(encoders: Mapping[str, str]) -> None:
    """Pass if there is one encoder version of each kind.

    Raises:
        IncompleteRelease: naming the kinds that are missing, and those that are unknown.
    """
    missing, unknown = set(KINDS) - set(encoders), set(encoders) - set(KINDS)
    if missing or unknown:
        raise IncompleteRelease(
            f"a release needs one encoder of each kind {KINDS}: "
            f"missing {sorted(missing)}, unknown {sorted(unknown)}. "
            "Give KIND=VERSION for each, or name a release to take the others from (--like r1)."
        )


def validate(tables: Tables, name: str) -> Release:
    """Make a release ``validated``: its backfill has passed the audit. Twice is once."""
    release = named_release(tables, name)
    if release.state != "building":
        return release
    validated = _moved(release, "validated")
    _record(tables, [validated], "validate")
    return validated


def promote(tables: Tables, name: str) -> Release:
    """Make a release the live one; the one that was live becomes ``previous``.

    Raises:
        UnknownRelease: no release has this name.
        AlreadyLive: it is the live one, and readers have been told.
        TransitionRefused: it was never backfilled, or it is retired.
    """
    releases = all_releases(tables)
    chosen = _named(releases, name)
    if chosen.state == "live":
        if exported_live(tables.warehouse) == name:
            raise AlreadyLive(f"release {name!r} is live already. Nothing was changed.")
        # A promote that was killed before its export is finished by the next one.
        export_releases(tables)
        return chosen
    if not _first_of_warehouse(chosen, releases):
        _check_step(chosen, "live")
    return _go_live(tables, chosen, releases, "promote")


def rollback(tables: Tables) -> Release:
    """Make the release live again that was live before the one that is; return it.

    A second rollback goes back one further; it never goes forward again.

    Raises:
        TransitionRefused: no release is live, or none that is still served was live before it.
    """
    changes, releases = all_changes(tables), all_releases(tables)
    stack = _live_stack(changes)
    if len(stack) < 2:
        now = f"{stack[0]!r} is live and" if stack else "no release is live, and"
        raise TransitionRefused(
            f"there is nothing to roll back to: {now} no release that is still served was live "
            "before it. To go to another release, promote it (embedmill release list shows them)."
        )
    return _go_live(tables, _named(releases, stack[-2]), releases, "rollback")


def retire(tables: Tables, name: str) -> Release:
    """End a release: nights no longer encode for it, and its views leave the feature store.

    Its rows stay in the tables until maintenance removes them. Twice is once.

    Raises:
        UnknownRelease: no release has this name.
        TransitionRefused: it is live.
    """
    chosen = named_release(tables, name)
    if chosen.state == "retired":
        export_releases(tables)
        return chosen
    if chosen.state == "live":
        raise TransitionRefused(
            f"release {name!r} is live: ranking models read it. Promote another release or roll "
            "back, then retire this one. Nothing was changed."
        )
    retired = _moved(chosen, "retired")
    _record(tables, [retired], "retire")
    return retired


def export_releases(tables: Tables) -> str:
    """Tell ``feature_repo``: write ``<warehouse>/releases.json`` and return its path."""
    exported = [asdict(release) for release in all_releases(tables)]
    return write_export(tables.warehouse, exported)


def _go_live(
    tables: Tables, chosen: Release, releases: Sequence[Release], action: Action
) -> Release:
    outgoing = [_moved(release, "previous") for release in releases if release.state == "live"]
    promoted = replace(chosen, state="live")
    # One commit: there is never a moment with two live releases, or with none.
    _record(tables, [*outgoing, promoted], action)
    return promoted


def _live_stack(changes: Sequence[Change]) -> list[str]:
    """Return the releases that were live and are still served, the live one last."""
    stack: list[str] = []
    for change in changes:
        name = change.release.name
        if change.action == "rollback" and change.release.state == "live":
            stack = stack[: stack.index(name) + 1]
        elif change.release.state == "live":
            stack = [*(other for other in stack if other != name), name]
        elif change.release.state == "retired":
            stack = [other for other in stack if other != name]
    return stack


def _named(releases: Sequence[Release], name: str) -> Release:
    by_name = {release.name: release for release in releases}
    if name not in by_name:
        raise UnknownRelease(
            f"no release {name!r}; there are {sorted(by_name)}. "
            "Create one from trained encoders first (embedmill release create)."
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
        f" Run embedmill release backfill {release.name}: it encodes, audits and validates it."
        if (release.state, state) == ("building", "live")
        else ""
    )
    raise TransitionRefused(
        f"release {release.name!r} is {release.state} and cannot become {state}; "
        f"it can become {', '.join(allowed)}.{hint} Nothing was changed."
    )


def _record(tables: Tables, releases: Sequence[Release], action: Action) -> None:
    newest = tables.read(RELEASES).agg(F.max("sequence")).collect()[0][0] or 0
    rows = [
        (release.name, newest + position, release.state, action, dict(release.encoders))
        for position, release in enumerate(releases, start=1)
    ]
    ddl = "release string, sequence int, state string, action string, encoders map<string,string>"
    tables.append(local_frame(tables.spark, rows, ddl), RELEASES)
    export_releases(tables)
