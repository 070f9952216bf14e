"""Encoders of a release: whole, untouched and made to be read together; their held-out figures."""

from collections.abc import Iterator, Mapping
from contextlib import suppress

import fsspec

from encoders.artifacts import Artifact, load_artifact, read_info
from spark_jobs.contracts import ENCODER_VERSION, KINDS
from spark_jobs.releases.release import Release
from spark_jobs.warehouse.layout import Layout

# Parts of a metrics.json about how training went, and those that the weights were chosen by.
_NOT_HELD_OUT = ("curve", "config", "watched")
# The last word of the figures that a release is judged by.
_HEADLINES = ("R@1", "recall@10", "ndcg@10", "collision_rate", "relative_error", "users", "spus")


class UnusableEncoders(ValueError):
    """A release of these encoders cannot be served; the message lists all problems."""


class WorseThanUntrained(ValueError):
    """An encoder wins nothing over what needs no training."""


class WorseThanRules(WorseThanUntrained):
    """LEARN adds nothing to a rule that needs no training."""


class WorseThanBackbones(WorseThanUntrained):
    """COPE finds products no better than the backbones that it reads."""


def check_worth(kind: str, artifact: Artifact) -> None:
    """Check that an encoder wins something over what needs no training; others than two kinds pass.

    Raises:
        WorseThanUntrained: it does not.
    """
    if kind == "cope":
        check_against_backbones(artifact)
    if kind == "learn_user":
        check_against_rules(artifact)


def check_against_backbones(cope: Artifact) -> None:
    """Check that COPE beats its backbones alone, on the products held out from its training.

    Versions trained before December 2026 do not say so in one figure, and pass.

    Args:
        cope: of kind ``cope``.

    Raises:
        WorseThanBackbones: it does not.
    """
    lead = cope.metrics.get("lead")
    if not isinstance(lead, Mapping) or lead["mean"] > 0:
        return
    raise WorseThanBackbones(
        f"cope: {cope.version} should find products that it was not trained on better than its "
        f"backbones alone do, but in R@1, mean over directions, it is {_behind(lead)}. Train it "
        "on more products, keep the encoders of another release (--like), or create the release "
        "all the same (--even-if-worse). Nothing was changed."
    )


def check_against_rules(learn: Artifact) -> None:
    """Check that towers add something to the best rule, on the time held out from their training.

    A rule reads a matrix of all items by all items, and a vector has 64 numbers: on its own it may
    be a little behind. What a ranker gains is what both reach together. Versions trained before
    December 2026 were not held against it, and pass.

    Args:
        learn: of kind ``learn_user``.

    Raises:
        WorseThanRules: they do not, or nobody was there to tell.
    """
    lead, rule = learn.metrics.get("lead"), learn.metrics.get("best_rule")
    if not isinstance(lead, Mapping):
        return
    mean = lead["mean"]
    if mean is not None and mean > 0:
        return
    found = "no user came back in the time held out" if mean is None else f"it is {_behind(lead)}"
    raise WorseThanRules(
        f"learn_user: {learn.version} together with a rule should rank better than {rule} alone, "
        f"which needs no training, but by nDCG@10 of the time held out {found}. Train it on a "
        "longer span of time, keep the encoders of another release (--like), or create the release "
        "all the same (--even-if-worse). Nothing was changed."
    )


def _behind(lead: Mapping[str, float | None]) -> str:
    """Return how far behind something is, and between what."""
    mean, low, high = (lead[name] for name in ("mean", "low", "high"))
    interval = "" if low is None else f" (95% between {low:+.4f} and {high:+.4f})"
    return f"{abs(mean or 0):.4f} behind{interval}"


def encoder_artifacts(warehouse: str, encoders: Mapping[str, str]) -> dict[str, Artifact]:
    """Return a release's encoder versions by kind, each whole and untouched.

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
    problems += _mismatches(warehouse, artifacts)
    if problems:
        listed = "\n".join(f"- {problem}" for problem in problems)
        raise UnusableEncoders(
            f"these encoders cannot be released together:\n{listed}\nRestore the folders from a "
            "copy, or train again (embedmill train) and create a release of the encoders that it "
            "prints. Nothing was changed."
        )
    return artifacts


def encoder_artifact(warehouse: str, kind: str, version: str) -> Artifact:
    """Return one encoder version, whole and untouched.

    Raises:
        ValueError: it is missing, altered, or of another kind.
    """
    if not ENCODER_VERSION.fullmatch(version):
        raise ValueError(f"{version!r} should be an encoder version, <name>@<12 hex>.")
    existing = _versions(warehouse)
    if version not in existing:
        same_kind = ", ".join(v for v in existing if v.split("@")[0] == kind) or "none"
        raise ValueError(
            f"{Layout.of(warehouse).encoder(version)!r} does not exist. Versions of kind {kind!r} "
            f"in the warehouse: {same_kind}."
        )
    layout = Layout.of(warehouse)
    artifact, info = load_artifact(layout.encoder(version)), read_info(layout.encoder(version))
    if info.kind != kind:
        raise ValueError(f"{version!r} should be of kind {kind!r}, but is of kind {info.kind!r}.")
    for read in info.reads.keys() - KINDS.keys():  # a release names the others itself
        load_artifact(layout.encoder(info.reads[read]))
    return artifact


def held_out_figures(
    warehouse: str, release: Release, *, every: bool
) -> dict[tuple[str, str], float]:
    """Return what the trainings of a release's encoders measured, by kind and path.

    Args:
        every: not the headlines alone.

    Raises:
        UnusableEncoders: as ``encoder_artifacts``; of a retired release those that are left count.
    """
    artifacts = _artifacts(warehouse, release)
    # Both towers carry the figures of their common training.
    return {
        (kind, path): value
        for kind in ("cope", "semantic_id", "learn_user")
        if kind in artifacts
        for path, value in flat_figures(artifacts[kind].metrics)
        if every or path.rsplit(" ", 1)[-1] in _HEADLINES
    }


def flat_figures(metrics: Mapping[str, object], path: str = "") -> Iterator[tuple[str, float]]:
    """Yield the held-out numbers of a ``metrics.json``, each with its path."""
    for name, value in metrics.items():
        if name in _NOT_HELD_OUT:
            continue
        where = f"{path} {name}".strip()
        if isinstance(value, Mapping):
            yield from flat_figures(value, where)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield where, float(value)


def _artifacts(warehouse: str, release: Release) -> dict[str, "Artifact"]:
    if release.state != "retired":
        return encoder_artifacts(warehouse, release.encoders)
    artifacts = {}
    for kind, version in release.encoders.items():
        # In time, maintenance removes the encoders of a retired release.
        with suppress(ValueError):
            artifacts[kind] = encoder_artifact(warehouse, kind, version)
    return artifacts


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
            f"{artifacts['learn_item'].version} are of different trainings, so their vectors are "
            "not in one space."
        )
    return problems


def _same_towers(artifacts: Mapping[str, Artifact]) -> bool:
    users, items = (artifacts[kind].tensors for kind in ("learn_user", "learn_item"))
    return users.keys() == items.keys() and all(users[name].equal(items[name]) for name in users)
