"""Export of the releases for readers without Spark: ``<warehouse>/releases.json``."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import fsspec

from spark_jobs.contracts import ENCODER_VERSION
from spark_jobs.releases.release import Release
from spark_jobs.warehouse.layout import Layout

_NAME = re.compile(r"r[0-9]+")


class UnfitExport(ValueError):
    """A name in the file may not be used in SQL or as the name of a view."""


def write_export(
    warehouse: str, releases: Sequence[Release], no_history: Mapping[str, Sequence[float]]
) -> str:
    """Write the file and return its path.

    Args:
        releases: all of them, oldest first.
        no_history: vector of a user without history, by release; not every release has one.
    """
    live = next((release.name for release in releases if release.state == "live"), None)
    path = Layout(warehouse).releases
    filesystem, root = fsspec.url_to_fs(path)
    vectors = {name: {"no_history": list(vector)} for name, vector in no_history.items()}
    exported = [asdict(release) | vectors.get(release.name, {}) for release in releases]
    content = json.dumps({"live": live, "releases": exported}, indent=2) + "\n"
    # Written to another name and moved: a reader sees the old file or the new one, never a part.
    filesystem.pipe_file(f"{root}.new", content.encode())
    filesystem.mv(f"{root}.new", root)
    return path


def exported_live(warehouse: str) -> str | None:
    """Return the release that is live in the export; None where nothing was exported yet."""
    live: str | None = _read(warehouse).get("live")
    return live


def exported_no_history(warehouse: str) -> dict[str, list[float]]:
    """Return the vector of a user without history, by release; not every release has one."""
    exported = _read(warehouse).get("releases", ())
    return {r["name"]: r["no_history"] for r in exported if "no_history" in r}


def exported_served(warehouse: str) -> list[Release]:
    """Return the releases that have views, oldest first; none before the first release.

    Raises:
        UnfitExport: a release or an encoder version has a name that it should not have.
    """
    exported = _read(warehouse).get("releases", ())
    releases = [Release(r["name"], r["state"], r["encoders"]) for r in exported]
    for release in releases:
        _check(release, Layout(warehouse).releases)
    return [release for release in releases if release.is_served]


def _check(release: Release, path: str) -> None:
    unfit = [v for v in release.encoders.values() if not ENCODER_VERSION.fullmatch(v)]
    unfit += [] if _NAME.fullmatch(release.name) else [release.name]
    if unfit:
        raise UnfitExport(
            f"{path}: {', '.join(map(repr, unfit))} should be a release named r<number> or an "
            "encoder version <name>@<12 hex>. Do not edit the file. embedmill writes it whenever a "
            "release changes: promote the live release again to rewrite it."
        )


def _read(warehouse: str) -> dict[str, Any]:
    filesystem, root = fsspec.url_to_fs(Layout(warehouse).releases)
    return json.loads(filesystem.cat_file(root)) if filesystem.exists(root) else {}
