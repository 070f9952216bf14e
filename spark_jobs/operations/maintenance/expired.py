"""Expired releases, and the encoder versions that only they need."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import fsspec

from spark_jobs.releases.ledger import Change
from spark_jobs.releases.release import Release
from spark_jobs.warehouse.layout import Layout


def expired_releases(changes: Sequence[Change], now: datetime, days: int) -> list[Release]:
    """Return the releases that were retired ``days`` ago or earlier."""
    last = {change.release.name: change for change in changes}
    retired = [change for change in last.values() if change.release.state == "retired"]
    # Spark returns times in this machine's zone, without naming it; astimezone takes them so.
    return [c.release for c in retired if c.at.astimezone(UTC) <= now - timedelta(days=days)]


def expired_versions(
    releases: Iterable[Release], expired: Iterable[Release], reads: Mapping[str, Iterable[str]]
) -> list[str]:
    """Return the encoder versions that only expired releases need.

    A version that was never in a release is kept, with the versions that it reads: it may have been
    trained for a coming release.

    Args:
        releases: all releases, including the expired ones.
        reads: encoder version -> versions that it reads, for all encoders of the warehouse.
    """
    gone = {release.name for release in expired}
    named = {version for release in releases for version in release.encoders.values()}
    kept = {v for r in releases if r.name not in gone for v in r.encoders.values()}
    candidates = {v for r in releases if r.name in gone for v in r.encoders.values()} - kept
    candidates |= {read for version in candidates for read in reads.get(version, ())} - named
    needed = {read for v in reads.keys() - candidates for read in reads[v]}
    return sorted(candidates - needed)


def encoders_read(warehouse: str) -> dict[str, list[str]]:
    """Return which other encoder versions each encoder of a warehouse reads."""
    filesystem, root = fsspec.url_to_fs(Layout.of(warehouse).encoders)
    if not filesystem.exists(root):
        return {}
    folders = {path.rsplit("/", 1)[-1]: path for path in filesystem.ls(root, detail=False)}
    return {
        version: _reads(filesystem, folder, folders.keys() - {version})
        for version, folder in folders.items()
    }


def _reads(filesystem: fsspec.AbstractFileSystem, folder: str, others: Iterable[str]) -> list[str]:
    file = f"{folder}/config.json"
    if not filesystem.exists(file):
        return []
    config = json.loads(filesystem.cat_file(file))
    # Under a key of its kind or, as EncoderInfo has it, under ``reads``.
    values = [*config.values(), *config.get("reads", {}).values()]
    return sorted(set(others) & {value for value in values if isinstance(value, str)})
