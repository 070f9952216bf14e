"""Which warehouse these definitions are about, and which releases it serves.

Reads ``<warehouse>/releases.json``, which ``spark_jobs/releases.py`` writes at every change.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

import fsspec

from spark_jobs.contracts import ENCODER_VERSION, SERVED_STATES

_RELEASE = re.compile(r"r[0-9]+")


@dataclass(frozen=True)
class Release:
    """A release with its own views: encoder version by kind."""

    name: str
    state: str
    encoders: Mapping[str, str]


def warehouse() -> str:
    """Return the warehouse's absolute path or URI.

    Raises:
        LookupError: ``EMBEDMILL_WAREHOUSE`` is not set.
    """
    named = os.environ.get("EMBEDMILL_WAREHOUSE", "")
    if not named:
        raise LookupError(
            "EMBEDMILL_WAREHOUSE is not set. Set it to the absolute path or URI of the warehouse, "
            "such as EMBEDMILL_WAREHOUSE=$PWD/warehouse."
        )
    return named.rstrip("/") if "://" in named else os.path.abspath(named)


def served_releases(folder: str) -> list[Release]:
    """Return the releases that have views, oldest first; none before the first release.

    Raises:
        ValueError: a name in the file may not stand in SQL or in the name of a view.
    """
    filesystem, path = fsspec.url_to_fs(f"{folder}/releases.json")
    if not filesystem.exists(path):
        return []
    exported = json.loads(filesystem.cat_file(path))["releases"]
    releases = [Release(r["name"], r["state"], r["encoders"]) for r in exported]
    for release in releases:
        _check(release, path)
    return [release for release in releases if release.state in SERVED_STATES]


def _check(release: Release, path: str) -> None:
    unfit = [v for v in release.encoders.values() if not ENCODER_VERSION.fullmatch(v)]
    unfit += [] if _RELEASE.fullmatch(release.name) else [release.name]
    if unfit:
        raise ValueError(
            f"{path}: {unfit!r} should be releases named r<number> and encoder versions "
            "<name>@<12 hex>. "
            "The file is written by spark_jobs/releases.py: promote a release to write it again."
        )
