"""Semantic ids: three integers that stand for a vector, coarse to fine, by residual k-means.

Residual k-means beats RQ-VAE on reconstruction and on the use of the codebook (QARM, arXiv
2411.11739, section 4.2; OneRec, arXiv 2506.13695): each level clusters what the levels before left
over.

Shapes: N vectors, B rows, D numbers, V levels, K codes a level.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.artifacts import Artifact, InvalidArtifact
from encoders.protocol import Batch, Encoded

KIND = "semantic_id"
LEVELS = 3
_RESTARTS = 4
_ROWS_AT_ONCE = 4096

Vectors = NDArray[np.float32]
Codes = NDArray[np.int64]


class TooFewVectors(ValueError):
    """There is nothing to fit codebooks on."""


@dataclass(frozen=True)
class Codebooks:
    """Centroids of each level, float32 [V, K, D]; a small catalogue has fewer codes a level."""

    centroids_VKD: Vectors

    def codes(self, vectors_BD: Vectors) -> Codes:
        """Return the nearest centroid of each level, int64 [B, V]; a tie goes to the lower code."""
        codes = np.empty((len(vectors_BD), len(self.centroids_VKD)), np.int64)
        for start in range(0, len(vectors_BD), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            residual_BD = vectors_BD[rows].astype(np.float64)
            for level, centroids_KD in enumerate(self.centroids_VKD.astype(np.float64)):
                codes[rows, level] = _nearest(residual_BD, centroids_KD)
                residual_BD = residual_BD - centroids_KD[codes[rows, level]]
        return codes

    def reconstructed(self, codes_BV: Codes) -> Vectors:
        """Return the sum of the centroids that codes name, float32 [B, D]."""
        levels = range(len(self.centroids_VKD))
        total: Vectors = np.sum([self.centroids_VKD[v][codes_BV[:, v]] for v in levels], axis=0)
        return total


def fit(vectors_ND: Vectors, *, codebook_size: int, seed: int = 0) -> Codebooks:
    """Fit codebooks; the same vectors in the same order and the same seed give the same codebooks.

    Raises:
        TooFewVectors: there are none.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    if len(vectors_ND) == 0:
        raise TooFewVectors(
            "semantic ids need at least one vector to fit codebooks on, but got none."
        )
    size = min(codebook_size, len(np.unique(vectors_ND, axis=0)))
    residual_ND = vectors_ND.astype(np.float64)
    levels = []
    # Sums taken by several threads come out in another order each time.
    with threadpool_limits(1):
        for level in range(LEVELS):
            k = min(size, len(np.unique(residual_ND, axis=0)))
            model = KMeans(k, n_init=_RESTARTS, random_state=seed + level).fit(residual_ND)
            centroids_KD = _padded(model.cluster_centers_, size)
            levels.append(centroids_KD)
            residual_ND = residual_ND - centroids_KD[_nearest(residual_ND, centroids_KD)]
    return Codebooks(np.stack(levels).astype(np.float32))


def codebook_metrics(
    codes_NV: Codes, vectors_ND: Vectors, codebooks: Codebooks
) -> dict[str, float]:
    """Return how well the codes are used.

    Returns:
        For each level: ``c1_utilisation``, the share of codes in use, and ``c1_entropy``, of their
        use as a share of the most possible. ``collision_rate``: share of vectors whose triple
        another, different vector has. ``relative_error``: squared error of the reconstruction over
        the variance.
    """
    figures = {}
    size = codebooks.centroids_VKD.shape[1]
    for level in range(codes_NV.shape[1]):
        share_K = np.bincount(codes_NV[:, level], minlength=size) / len(codes_NV)
        used = share_K[share_K > 0]
        entropy = float(-(used * np.log(used)).sum() / np.log(size)) if size > 1 else 1.0
        figures[f"c{level + 1}_utilisation"] = len(used) / size
        figures[f"c{level + 1}_entropy"] = entropy
    distinct = np.unique(vectors_ND, axis=0, return_index=True)[1]
    triples = Counter(map(tuple, codes_NV[distinct].tolist()))
    shared = sum(count for count in triples.values() if count > 1)
    figures["collision_rate"] = shared / len(distinct)
    error = np.square(vectors_ND - codebooks.reconstructed(codes_NV)).sum()
    spread = np.square(vectors_ND - vectors_ND.mean(axis=0)).sum()
    figures["relative_error"] = float(error / spread) if spread > 0 else 0.0
    return figures


def codebook_artifact(
    codebooks: Codebooks, metrics: Mapping[str, object], cope_version: str
) -> Artifact:
    """Return the encoder version of codebooks, tied to the encoder whose vectors they quantise."""
    levels, size, width = codebooks.centroids_VKD.shape
    return Artifact(
        name=KIND,
        config={
            "kind": KIND,
            "levels": levels,
            "size": size,
            "width": width,
            "vectors": cope_version,
        },
        preprocessing={},
        tensors={"centroids": torch.from_numpy(codebooks.centroids_VKD)},
        metrics=metrics,
        description=f"Residual k-means, {levels} levels of {size}, of vectors by {cope_version}.",
    )


def load_codebooks(artifact: Artifact) -> "SemanticIds":
    """Load codebooks.

    Raises:
        InvalidArtifact: the weights are not codebooks.
    """
    centroids = artifact.tensors.get("centroids")
    if centroids is None or centroids.ndim != 3:
        raise InvalidArtifact(f"encoder {artifact.version}: should hold centroids [V, K, D].")
    return SemanticIds(artifact.version, Codebooks(centroids.numpy()))


class SemanticIds:
    """The ``semantic_id`` encoder; see ``encoders/protocol.py``. Its codes are whole numbers."""

    inputs = ("embedding",)

    def __init__(self, version: str, codebooks: Codebooks) -> None:
        self._version, self._codebooks = version, codebooks

    @property
    def version(self) -> str:
        return self._version

    @property
    def outputs(self) -> Mapping[str, int]:
        return {"codes": len(self._codebooks.centroids_VKD)}

    def length(self, row: Mapping[str, object]) -> int:
        return 1

    def encode(self, batch: Batch) -> Encoded:
        """Encode vectors; NaN where there is none."""
        vectors: Sequence[object] = batch["embedding"]
        present = [row for row, vector in enumerate(vectors) if vector is not None]
        codes = np.full((len(vectors), len(self._codebooks.centroids_VKD)), np.nan, np.float32)
        if present:
            matrix = np.array([vectors[row] for row in present], np.float32)
            codes[present] = self._codebooks.codes(matrix)
        return Encoded({"codes": codes})


def _nearest(points_BD: NDArray[np.float64], centroids_KD: NDArray[np.float64]) -> Codes:
    distances_BK = np.square(centroids_KD).sum(axis=1) - 2 * points_BD @ centroids_KD.T
    nearest: Codes = distances_BK.argmin(axis=1)
    return nearest


def _padded(centroids_KD: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Repeat the last centroid; a tie goes to the lower code, so the repeated ones stay unused."""
    return np.concatenate(
        [centroids_KD, np.repeat(centroids_KD[-1:], size - len(centroids_KD), axis=0)]
    )
