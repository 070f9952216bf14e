"""Transitions of releases: create, validate, promote, roll back and retire.

Each is one commit to the ledger ``releases``, followed by an export for ``feature_repo``. Call them
with the lock of the releases held. The states are in ``release.py``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pyspark.sql import functions as F

from spark_jobs.contracts import KINDS, RELEASES
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.releases.export import exported_live
from spark_jobs.releases.ledger import (
    Action,
    Change,
    all_changes,
    all_releases,
    export_releases,
    named_release,
)
from spark_jobs.releases.release import NEXT_STATES, Release, State
from spark_jobs.warehouse.tables import Tables


class IncompleteRelease(ValueError):
    """An encoder version of some kind is missing, or a kind is unknown."""


class TransitionRefused(ValueError):
    """The release may not go from its state to the requested one."""


class AlreadyLive(TransitionRefused):
    """The release is live already."""


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
    """Check that there is one encoder version of each kind.

    Raises:
        IncompleteRelease: naming the kinds that are missing, and those that are unknown.
    """
    missing, unknown = set(KINDS) - set(encoders), set(encoders) - set(KINDS)
    if missing or unknown:
        raise IncompleteRelease(
            f"a release needs one encoder of each kind ({', '.join(KINDS)}): "
            f"missing {', '.join(sorted(missing)) or 'none'}, "
            f"unknown {', '.join(sorted(unknown)) or 'none'}. "
            "Give KIND=VERSION for each, or name a release to take the others from (--like r1)."
        )


def validate(tables: Tables, name: str) -> Release:
    """Make a release ``validated`` after its backfill has passed the audit. Idempotent.

    Raises:
        TransitionRefused: it was retired in the meantime.
    """
    release = named_release(tables, name)
    if release.is_served:
        return release
    validated = _moved(release, "validated")
    _record(tables, [validated], "validate")
    return validated


def promote(tables: Tables, name: str, *, registry_live: str | None = None) -> Release:
    """Make a release live; the one that was live becomes ``previous``.

    Args:
        registry_live: release that is live in Feast's registry, if any. Where it, or that of the
            export, is another one than the ledger's, an earlier transition was killed before it
            reached its readers, and is finished now.

    Raises:
        UnknownRelease: no release has this name.
        AlreadyLive: it is live in the ledger, the export and the registry.
        TransitionRefused: it was never backfilled, or it is retired.
    """
    releases, chosen = all_releases(tables), named_release(tables, name)
    if chosen.state == "live":
        if _has_reached_readers(tables, name, registry_live):
            raise AlreadyLive(f"release {name!r} is live already. Nothing was changed.")
        # The promote before this one was killed before its export: finish it.
        export_releases(tables)
        return chosen
    if not _first_of_warehouse(chosen, releases):
        _check_step(chosen, "live")
    return _go_live(tables, chosen, releases, "promote")


def rollback(tables: Tables, *, registry_live: str | None = None) -> Release:
    """Make the release live that was live before the present one; return it.

    A second rollback goes back one release further; a rollback never goes forward.

    Args:
        registry_live: as for ``promote``.

    Raises:
        TransitionRefused: no release is live, or none that is still served was live before it.
    """
    changes, releases = all_changes(tables), all_releases(tables)
    stack = _live_stack(changes)
    is_rollback = bool(changes) and changes[-1].action == "rollback"
    if is_rollback and not _has_reached_readers(tables, stack[-1], registry_live):
        # The rollback before this one was killed before its export: finish it, and go no further.
        export_releases(tables)
        return named_release(tables, stack[-1])
    if len(stack) < 2:
        now = f"{stack[0]!r} is live, and" if stack else "no release is live, and"
        raise TransitionRefused(
            f"there is no release to roll back to: {now} no release that is still served was live "
            "before. To make another release live, promote it (embedmill release list shows them). "
            "Nothing was changed."
        )
    return _go_live(tables, named_release(tables, stack[-2]), releases, "rollback")


def retire(tables: Tables, name: str) -> Release:
    """Retire a release: nights no longer encode for it, and its views leave the feature store.

    Its rows stay in the tables until maintenance removes them. Idempotent.

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


def _has_reached_readers(tables: Tables, live: str, registry_live: str | None) -> bool:
    return exported_live(tables.warehouse) == live and registry_live in (None, live)


def _go_live(
    tables: Tables, chosen: Release, releases: Sequence[Release], action: Action
) -> Release:
    outgoing = [_moved(release, "previous") for release in releases if release.state == "live"]
    promoted = replace(chosen, state="live")
    # One commit: at no moment are two releases live, or none.
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


def _first_of_warehouse(release: Release, releases: Sequence[Release]) -> bool:
    """Return whether no release was ever live: there are no readers, and nights need a live one."""
    return release.state == "building" and not any(
        other.state in ("live", "previous") for other in releases
    )


def _moved(release: Release, state: State) -> Release:
    _check_step(release, state)
    return replace(release, state=state)


def _check_step(release: Release, state: State) -> None:
    if state in NEXT_STATES[release.state]:
        return
    allowed = NEXT_STATES[release.state] or ("nothing else",)
    hint = (
        f" Run embedmill release backfill --config CONFIG {release.name}: it encodes and audits "
        "the published nights and validates the release."
        if (release.state, state) == ("building", "live")
        else ""
    )
    raise TransitionRefused(
        f"release {release.name!r} is {release.state} and cannot become {state}. "
        f"It can become {', '.join(allowed)}.{hint} Nothing was changed."
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
