"""Export: what ``feature_repo`` is told about the releases, in ``<warehouse>/releases.json``."""

import json
from collections.abc import Mapping, Sequence

import fsspec


def write_export(warehouse: str, releases: Sequence[Mapping[str, object]]) -> str:
    """Write the file and return its path.

    Args:
        releases: name, state and encoders of each, oldest first.
    """
    live = next((release["name"] for release in releases if release["state"] == "live"), None)
    path = _path(warehouse)
    filesystem, root = fsspec.url_to_fs(path)
    content = json.dumps({"live": live, "releases": releases}, indent=2) + "\n"
    # Written beside and moved over: a reader sees the old file or the new one, never half of one.
    filesystem.pipe_file(f"{root}.new", content.encode())
    filesystem.mv(f"{root}.new", root)
    return path


def exported_live(warehouse: str) -> str | None:
    """Return the release that readers are told is live; None where nothing was exported yet."""
    filesystem, root = fsspec.url_to_fs(_path(warehouse))
    if not filesystem.exists(root):
        return None
    live: str | None = json.loads(filesystem.cat_file(root))["live"]
    return live


def _path(warehouse: str) -> str:
    return f"{warehouse}/releases.json"
