"""Served releases, as ``releases.json`` tells readers: no Spark is needed for it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import fsspec

from spark_jobs.contracts import SERVED_STATES


@dataclass(frozen=True)
class Served:
    """A release with views of its own."""

    name: str
    state: str
    encoders: Mapping[str, str]


def served_releases(warehouse: str) -> list[Served]:
    """Return the releases that are served, oldest first; none before the first."""
    filesystem, path = fsspec.url_to_fs(f"{warehouse}/releases.json")
    if not filesystem.exists(path):
        return []
    exported = json.loads(filesystem.cat_file(path))["releases"]
    releases = [Served(each["name"], each["state"], each["encoders"]) for each in exported]
    return [each for each in releases if each.state in SERVED_STATES]
