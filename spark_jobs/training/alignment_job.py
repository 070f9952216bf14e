"""Rotate a release's encoders into the space of another one, as new encoder versions.

Reads ``spu_embeddings``, ``spu_preference_embeddings`` and ``user_embeddings`` as they are
published; writes encoder versions.

    embedmill release align --config spark_jobs/conf/local.toml r2 --to r1
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.artifacts import Artifact, save_artifact
from encoders.cope.sampling import split_of
from encoders.semantic_ids.codebooks import Codebooks, codebook_artifact, load_codebooks
from encoders.spaces.procrustes import (
    NEIGHBOURS,
    CrossRecall,
    UnfitForRotation,
    VectorPair,
    cross_recall,
    fitted_rotation,
)
from encoders.spaces.rotation import Rotation, rotated_artifact
from spark_jobs.contracts import SPU_EMBEDDINGS, SPU_PREFERENCE_EMBEDDINGS, USER_EMBEDDINGS, Table
from spark_jobs.releases.encoders import encoder_artifacts
from spark_jobs.releases.release import Release
from spark_jobs.releases.vectors import common_vectors
from spark_jobs.warehouse.tables import Tables

logger = logging.getLogger(__name__)

# With its default split, COPE's training holds the same SPUs out.
_HELD_OUT, _SEED = 0.25, 0
# Of SPUs, and of users: 20,000 vectors determine a rotation, and 2,000 searches a share.
_MAX_KEYS, _MAX_QUERIES = 20_000, 2_000
NEAR_SPU, NEAR_USER = "SPUs near an SPU", "SPUs near a user"


class Unalignable(ValueError):
    """These releases have no spaces to align, or no vectors to do it by."""


@dataclass(frozen=True)
class Fit:
    """A rotation, and how well searches across two releases do with it.

    Attributes:
        fitted: SPUs that it was fitted on.
        measured: SPUs that it was not fitted on, and is measured on.
        recalls: by what is searched for.
    """

    rotation_DD: Rotation
    fitted: int
    measured: int
    recalls: Mapping[str, CrossRecall]


@dataclass(frozen=True)
class Alignment:
    """The new encoder version of each kind that was rotated, and the fits of COPE and LEARN."""

    versions: Mapping[str, str]
    fits: Mapping[str, Fit]


def align_release(tables: Tables, release: Release, to: Release) -> Alignment:
    """Rotate the encoders of a release into the space of another, and save them.

    An encoder that both releases share is left as it is. Users and SPUs of LEARN get one rotation;
    codebooks turn with the vectors that they are of, and give the same codes. A quarter of the SPUs
    and users are held out from the fit, and search all SPUs.

    Args:
        release: the newer one.
        to: the one whose readers should not notice.

    Raises:
        Unalignable: a release has no vectors in the tables, or they share all encoders.
        UnfitForRotation: the widths differ, or they have too few SPUs in common.
        UnusableEncoders: an encoder of ``release`` is missing or altered.
    """
    _check(release, to)
    artifacts = encoder_artifacts(tables.warehouse, release.encoders)
    fits, rotated = {}, {}
    if release.encoders["cope"] != to.encoders["cope"]:
        fit = fits["COPE"] = _fit(tables, SPU_EMBEDDINGS, release, to)
        cope = rotated["cope"] = _rotated(artifacts["cope"], fit, to.encoders["cope"])
        rotated["semantic_id"] = rotated_codebooks(
            artifacts["semantic_id"], fit.rotation_DD, cope.version
        )
    if release.encoders["learn_item"] != to.encoders["learn_item"]:
        fit = fits["LEARN"] = _fit(tables, SPU_PREFERENCE_EMBEDDINGS, release, to)
        for kind in ("learn_user", "learn_item"):
            rotated[kind] = _rotated(artifacts[kind], fit, to.encoders[kind])
    for artifact in rotated.values():
        save_artifact(artifact, tables.layout.encoders)
    versions = {kind: artifact.version for kind, artifact in rotated.items()}
    logger.info("align %s to %s versions=%s", release.name, to.name, versions)
    return Alignment(versions, fits)


def rotated_codebooks(codebooks: Artifact, rotation_DD: Rotation, vectors: str) -> Artifact:
    """Return codebooks that give rotated vectors the codes that ``codebooks`` gave them before.

    Args:
        vectors: encoder version of the rotated vectors.
    """
    centroids_VKD = load_codebooks(codebooks).codebooks.centroids_VKD.astype(np.float64)
    turned = Codebooks((centroids_VKD @ rotation_DD).astype(np.float32))
    return codebook_artifact(turned, codebooks.metrics, vectors, aligned_to=codebooks.version)


def _check(release: Release, to: Release) -> None:
    for each in (release, to):
        if not each.is_served:
            advice = (
                f"Backfill it first (embedmill release backfill --config CONFIG {each.name}); what "
                "comes out of align is then a release of its own, and this one may be retired."
                if each.state == "building"
                else "Name one that is served (embedmill release list)."
            )
            raise Unalignable(
                f"release {each.name!r} is {each.state}: it has no vectors in the tables to fit a "
                f"rotation on. {advice} Nothing was changed."
            )
    kinds = ("cope", "learn_item")
    if all(release.encoders[kind] == to.encoders[kind] for kind in kinds):
        raise Unalignable(
            f"releases {release.name!r} and {to.name!r} have the same COPE and LEARN: their "
            "vectors are in one space already. Nothing was changed."
        )


def _fit(tables: Tables, table: Table, release: Release, to: Release) -> Fit:
    spus = _Sample.of(tables, table, release, to)
    users = None
    if table is SPU_PREFERENCE_EMBEDDINGS:
        users = _Sample.of(tables, USER_EMBEDDINGS, release, to)
    try:
        rotation_DD = fitted_rotation(spus.fitted, users.fitted if users else None)
    except UnfitForRotation as error:
        raise UnfitForRotation(
            f"{table.name} of releases {release.name!r} and {to.name!r}: {error} Both have "
            f"{len(spus.pair)} SPUs, of which a quarter is held out. Nothing was changed."
        ) from error
    queries = spus.queries
    recalls = {NEAR_SPU: cross_recall(spus.pair[queries], spus.pair, rotation_DD, own_Q=queries)}
    if users and len(users.queries):
        recalls[NEAR_USER] = cross_recall(users.pair[users.queries], spus.pair, rotation_DD)
    return Fit(rotation_DD, len(spus.fitted), len(queries), recalls)


@dataclass(frozen=True)
class _Sample:
    """Vectors by both releases, and which of their keys are held out from the fit."""

    pair: VectorPair
    is_held_out_N: NDArray[np.bool_]

    @classmethod
    def of(cls, tables: Tables, table: Table, release: Release, to: Release) -> "_Sample":
        found = common_vectors(tables, table, release, to, at_most=_MAX_KEYS)
        splits = [split_of(key, held_out=_HELD_OUT, seed=_SEED) for key in found.keys]
        is_held_out_N = np.array([split == "test" for split in splits], bool)
        return cls(VectorPair(found.left_ND, found.right_ND), is_held_out_N)

    @property
    def fitted(self) -> VectorPair:
        return self.pair[~self.is_held_out_N]

    @property
    def queries(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.is_held_out_N)[:_MAX_QUERIES]


def _rotated(artifact: Artifact, fit: Fit, to: str) -> Artifact:
    """Return the rotated version of an encoder, with the figures of its fit.

    Args:
        to: encoder version whose space it is.
    """
    recalls = {
        name: {part: {f"recall@{NEIGHBOURS}": value} for part, value in asdict(recall).items()}
        for name, recall in fit.recalls.items()
    }
    kept = ", ".join(f"{name} {recall.kept:.0%}" for name, recall in fit.recalls.items())
    return rotated_artifact(
        artifact,
        fit.rotation_DD,
        metrics={
            "rotation": {
                "from": artifact.version,
                "to": to,
                "fitted_on": fit.fitted,
                "spus": fit.measured,
                **recalls,
            }
        },
        description=(
            f"{artifact.version}, rotated into the space of {to}. Of recall@"
            f"{NEIGHBOURS} within, this is left across: {kept}, on {fit.measured:,} SPUs held out."
        ),
    )
