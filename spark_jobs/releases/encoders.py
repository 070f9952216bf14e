"""Encoders of a release, checked: all there, untouched, and trained to be read together."""

from collections.abc import Mapping

import fsspec

from encoders.artifacts import Artifact, load_artifact, read_info
from spark_jobs.contracts import ENCODER_VERSION, KINDS
from spark_jobs.warehouse.layout import Layout


class UnusableEncoders(ValueError):
    """A release of these encoders could not be served; the message lists all that is wrong."""


def encoder_artifacts(warehouse: str, encoders: Mapping[str, str]) -> dict[str, Artifact]:
    """Return a release's encoder versions by kind, each whole and untouched.

    Args:
        encoders: kind -> encoder version.

    Raises:
        UnusableEncoders: a folder is missing or altered, an encoder is of another kind, or two were
            not trained to be read together.
    """
    artifacts: dict[str, Artifact] = {}
    problems = []
    for kind in KINDS:
        try:
            artifacts[kind] = encoder_artifact(warehouse, kind, encoders[kind])
        except ValueError as error:
            problems.append(f"{kind}: {error}")
    problems += _mismatches(warehouse, artifacts)
    if problems:
        listed = "\n".join(f"- {problem}" for problem in problems)
        raise UnusableEncoders(
            f"these encoders cannot be released together:\n{listed}\nRestore the folders from a "
            "copy, or train again (embedmill train) and create a release of what that prints. "
            "Nothing was changed."
        )
    return artifacts


def encoder_artifact(warehouse: str, kind: str, version: str) -> Artifact:
    """Return one encoder version, whole and untouched.

    Raises:
        ValueError: it is missing, altered, or of another kind.
    """
    if not ENCODER_VERSION.fullmatch(version):
        raise ValueError(f"{version!r} should be an encoder version, <name>@<12 hex>.")
    there = _versions(warehouse)
    if version not in there:
        of_kind = [v for v in there if v.split("@")[0] == kind] or ["none"]
        raise ValueError(
            f"{Layout.of(warehouse).encoder(version)!r} is not there; of this kind are {of_kind}."
        )
    layout = Layout.of(warehouse)
    artifact, info = load_artifact(layout.encoder(version)), read_info(layout.encoder(version))
    if info.kind != kind:
        raise ValueError(f"{version!r} is of kind {info.kind!r}.")
    for read in info.reads.keys() - KINDS.keys():  # a release names the others itself
        load_artifact(layout.encoder(info.reads[read]))
    return artifact


def _versions(warehouse: str) -> list[str]:
    filesystem, root = fsspec.url_to_fs(Layout.of(warehouse).encoders)
    if not filesystem.exists(root):
        return []
    names = (path.rstrip("/").rsplit("/", 1)[-1] for path in filesystem.ls(root, detail=False))
    return sorted(name for name in names if ENCODER_VERSION.fullmatch(name))


def _mismatches(warehouse: str, artifacts: Mapping[str, Artifact]) -> list[str]:
    """Return which encoders were trained on outputs of others than those of the release."""
    layout = Layout.of(warehouse)
    reads = {kind: read_info(layout.encoder(a.version)).reads for kind, a in artifacts.items()}
    problems = [
        f"{kind}: {artifacts[kind].version} reads {version!r}, but the "
        f"release's {read} is {artifacts[read].version!r}."
        for kind in artifacts
        for read, version in reads[kind].items()
        if read in artifacts and version != artifacts[read].version
    ]
    if {"learn_user", "learn_item"} <= artifacts.keys() and not _same_towers(artifacts):
        problems.append(
            f"learn_user and learn_item: {artifacts['learn_user'].version} and "
            f"{artifacts['learn_item'].version} are of two trainings: their spaces differ."
        )
    return problems


def _same_towers(artifacts: Mapping[str, Artifact]) -> bool:
    users, items = (artifacts[kind].tensors for kind in ("learn_user", "learn_item"))
    return users.keys() == items.keys() and all(users[name].equal(items[name]) for name in users)
