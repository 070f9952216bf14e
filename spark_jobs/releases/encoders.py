"""Encoders of a release: load them, and check that they are unaltered and belong together."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import fsspec

from spark_jobs.contracts import ENCODER_VERSION, KINDS
from spark_jobs.warehouse.layout import Layout

if TYPE_CHECKING:
    from encoders.artifacts import Artifact


class UnusableEncoders(ValueError):
    """A release of these encoders cannot be served; the message lists all problems."""


def encoder_artifacts(warehouse: str, encoders: Mapping[str, str]) -> dict[str, "Artifact"]:
    """Return a release's encoders by kind, their files checked against their hashes.

    Args:
        encoders: kind -> encoder version.

    Raises:
        UnusableEncoders: a folder is missing or altered, an encoder is of another kind, or one
            reads the vectors of an encoder that is not in the release.
    """
    artifacts: dict[str, Artifact] = {}
    problems = []
    for kind in KINDS:
        try:
            artifacts[kind] = encoder_artifact(warehouse, kind, encoders[kind])
        except ValueError as error:
            problems.append(f"{kind}: {error}")
    problems += _mismatches(artifacts)
    if problems:
        listed = "\n".join(f"- {problem}" for problem in problems)
        raise UnusableEncoders(
            f"these encoders cannot be released together:\n{listed}\nRestore the folders from a "
            "copy, or train again (embedmill train) and create a release of the encoders that it "
            "prints. Nothing was changed."
        )
    return artifacts


def encoder_artifact(warehouse: str, kind: str, version: str) -> "Artifact":
    """Return one encoder version, its files checked against their hashes.

    Raises:
        ValueError: it is missing, altered, or of another kind.
    """
    from encoders.artifacts import load_artifact

    if not ENCODER_VERSION.fullmatch(version):
        raise ValueError(f"{version!r} should be an encoder version, <name>@<12 hex>.")
    existing = _versions(warehouse)
    if version not in existing:
        same_kind = ", ".join(v for v in existing if v.split("@")[0] == kind) or "none"
        raise ValueError(
            f"{Layout.of(warehouse).encoder(version)!r} does not exist. Versions of kind {kind!r} "
            f"in the warehouse: {same_kind}."
        )
    artifact = load_artifact(Layout.of(warehouse).encoder(version))
    if artifact.config.get("kind") != kind:
        raise ValueError(
            f"{version!r} should be of kind {kind!r}, but is of kind "
            f"{artifact.config.get('kind')!r}."
        )
    if kind == "cope":
        load_artifact(Layout.of(warehouse).encoder(str(artifact.config["features"])))
    return artifact


def _versions(warehouse: str) -> list[str]:
    filesystem, root = fsspec.url_to_fs(Layout.of(warehouse).encoders)
    if not filesystem.exists(root):
        return []
    names = (path.rstrip("/").rsplit("/", 1)[-1] for path in filesystem.ls(root, detail=False))
    return sorted(name for name in names if ENCODER_VERSION.fullmatch(name))


def _mismatches(artifacts: Mapping[str, "Artifact"]) -> list[str]:
    """Return a problem for each encoder that reads another one than that of the release."""
    reads = (
        ("semantic_id", "vectors", "cope"),
        ("learn_user", "content", "learn_content"),
        ("learn_item", "content", "learn_content"),
    )
    problems = [
        f"{kind}: {artifacts[kind].version} reads {artifacts[kind].config.get(name)!r}, but the "
        f"release's {read} is {artifacts[read].version!r}."
        for kind, name, read in reads
        if {kind, read} <= artifacts.keys()
        and artifacts[kind].config.get(name) != artifacts[read].version
    ]
    if {"learn_user", "learn_item"} <= artifacts.keys() and not _same_towers(artifacts):
        problems.append(
            f"learn_user and learn_item: {artifacts['learn_user'].version} and "
            f"{artifacts['learn_item'].version} are of different trainings, so their vectors are "
            "not in one space."
        )
    return problems


def _same_towers(artifacts: Mapping[str, "Artifact"]) -> bool:
    users, items = (artifacts[kind].tensors for kind in ("learn_user", "learn_item"))
    return users.keys() == items.keys() and all(users[name].equal(items[name]) for name in users)
