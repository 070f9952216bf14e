"""Train codebooks of semantic ids on the vectors of SPUs, aligned to those of an earlier release.

Shapes: N SPUs, V levels.
"""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from pyspark.sql import functions as F

from encoders.artifacts import EncoderInfo, load_artifact, save_artifact
from encoders.semantic_ids.alignment import membership_centroids
from encoders.semantic_ids.assignment import Claims, assigned_codes
from encoders.semantic_ids.codebooks import (
    LEVELS,
    Codebooks,
    Codes,
    Vectors,
    codebook_artifact,
    fit,
    load_codebooks,
    sufficient_size,
)
from encoders.semantic_ids.measurement import changed_codes, codebook_metrics
from encoders.settings import SemanticIdConfig
from spark_jobs.contracts import SPU_SEMANTIC_IDS, SPUS
from spark_jobs.releases.ledger import live_release
from spark_jobs.warehouse.encoder_store import encoder_info
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

logger = logging.getLogger(__name__)


def train_codebooks(
    snapshot: Snapshot,
    config: SemanticIdConfig,
    *,
    spu_ids: Sequence[str],
    vectors: Vectors,
    encoder: str,
) -> str:
    """Fit and save codebooks; return their version.

    K-means goes on from earlier codebooks of the same encoder and size; where those are of others,
    from the cells that SPUs are in by their codes.

    Args:
        spu_ids: of the rows of ``vectors``, in order.
        encoder: version whose vectors they are.

    Raises:
        TooFewVectors: there are none.
        EncoderMissing: the earlier codebooks are not there.
    """
    size = sufficient_size(snapshot.state(SPUS, ["spu_id"]).count(), config.codebook_size)
    earlier = earlier_codebooks(snapshot.tables, config)
    if earlier is None:
        codebooks = fit(vectors, codebook_size=size, seed=config.seed)
        artifact = codebook_artifact(codebooks, trained_metrics(vectors, codebooks), encoder)
    else:
        had = _codes_of(snapshot, earlier.version, spu_ids)
        same = _same_space(earlier, encoder, size)
        cells = membership_centroids(vectors, had, codebook_size=size, seed=config.seed)
        codebooks = fit(vectors, codebook_size=size, seed=config.seed, start=same or cells)
        if codebooks is same:
            return earlier.version  # no vector asks for others
        metrics = trained_metrics(vectors, codebooks, had)
        artifact = codebook_artifact(codebooks, metrics, encoder, aligned_to=earlier.version)
    save_artifact(artifact, snapshot.tables.layout.encoders)
    logger.info("codebooks version=%s size=%d spus=%d", artifact.version, size, len(vectors))
    return artifact.version


def earlier_codebooks(tables: Tables, config: SemanticIdConfig) -> EncoderInfo | None:
    """Return the codebooks to align to; None where there are none.

    Raises:
        EncoderMissing: they are not there.
    """
    if config.aligned_to == "none":
        return None
    if config.aligned_to != "live":
        return encoder_info(tables, config.aligned_to)
    live = live_release(tables)
    return None if live is None else encoder_info(tables, live.encoders["semantic_id"])


def trained_metrics(
    vectors_ND: Vectors, codebooks: Codebooks, earlier_NV: Codes | None = None
) -> Mapping[str, object]:
    """Return the ``metrics.json`` of codebooks: of the codes that a first night would give.

    Args:
        earlier_NV: codes that SPUs had of the codebooks these are aligned to; negative: none.

    Returns:
        ``codebook_metrics``, the same ``before_matching``, and ``changed``: shares of the SPUs with
        earlier codes that get others.
    """
    claims = Claims.none(len(vectors_ND))
    if earlier_NV is not None:
        claims = Claims(earlier_NV, claims.unmoved_N)
    nearest_NV = codebooks.codes(vectors_ND)
    codes_NV = assigned_codes(vectors_ND, codebooks, claims=claims)
    metrics: dict[str, object] = {
        **codebook_metrics(codes_NV, vectors_ND, codebooks),
        "before_matching": codebook_metrics(nearest_NV, vectors_ND, codebooks),
    }
    if earlier_NV is not None:
        had_N = (earlier_NV >= 0).all(axis=1)
        metrics["changed"] = changed_codes(earlier_NV[had_N], codes_NV[had_N])
    return metrics


def _same_space(earlier: EncoderInfo, encoder: str, size: int) -> Codebooks | None:
    """Return the earlier codebooks where they are of vectors of ``encoder``, and of that size."""
    if encoder not in earlier.reads.values() or earlier.size("size") != size:
        return None
    return load_codebooks(load_artifact(earlier.folder)).codebooks


def _codes_of(snapshot: Snapshot, codebook: str, spu_ids: Sequence[str]) -> Codes:
    """Return the codes that SPUs have of a codebook, int64 [N, V]; -1 where they have none."""
    state = snapshot.state(
        SPU_SEMANTIC_IDS, ["spu_id", "encoder_version", *SPU_SEMANTIC_IDS.outputs]
    )
    rows = state.filter(F.col("encoder_version") == codebook).toArrow()
    columns = (rows[name].to_pylist() for name in ("spu_id", *SPU_SEMANTIC_IDS.outputs))
    of_spu = {spu_id: codes for spu_id, *codes in zip(*columns, strict=True)}
    nothing = [-1] * LEVELS
    return np.array([of_spu.get(spu_id, nothing) for spu_id in spu_ids], np.int64)
