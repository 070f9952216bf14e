"""Codebooks of semantic ids: three integers for a vector, coarse to fine, by residual k-means.

Residual k-means beats RQ-VAE on reconstruction and on the use of the codebook (QARM, arXiv
2411.11739, section 4.2; OneRec, arXiv 2506.13695): each level clusters what the levels before left
over. Several vectors may have the same nearest codes: ``assignment.py`` gives each its own triple.

Shapes: N vectors, B rows, D numbers, V levels, K codes a level.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.artifacts import Artifact, InvalidArtifact
from encoders.protocol import Batch, Encoded

KIND = "semantic_id"
# Key of config.json: codebooks whose codes these took over. Absent where there were none.
ALIGNED_TO = "aligned_to"
LEVELS = 3
# Of 12,101 contents of Amazon Beauty, 2.5 % find no room in their nearest prefix where there are 8
# triples a content, and 20 % where there are 2.7: docs/results/2026-11-30-semantic-ids.md.
_TRIPLES_A_VECTOR = 8
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

    @property
    def size(self) -> int:
        """Codes a level."""
        return len(self.centroids_VKD[0])

    def codes(self, vectors_BD: Vectors) -> Codes:
        """Return the nearest centroid of each level, int64 [B, V]; a tie goes to the lower code."""
        codes = np.empty((len(vectors_BD), len(self.centroids_VKD)), np.int64)
        for start in range(0, len(vectors_BD), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            residual_BD = vectors_BD[rows].astype(np.float64)
            for level, centroids_KD in enumerate(self.centroids_VKD.astype(np.float64)):
                codes[rows, level] = nearest_codes(residual_BD, centroids_KD)
                residual_BD = residual_BD - centroids_KD[codes[rows, level]]
        return codes

    def reconstructed(self, codes_BV: Codes) -> Vectors:
        """Return the sum of the centroids that codes name, float32 [B, D]."""
        levels = range(len(self.centroids_VKD))
        total: Vectors = np.sum([self.centroids_VKD[v][codes_BV[:, v]] for v in levels], axis=0)
        return total


def fit(
    vectors_ND: Vectors, *, codebook_size: int, seed: int = 0, start: Codebooks | None = None
) -> Codebooks:
    """Fit codebooks; the same vectors in the same order and the same seed give the same codebooks.

    Args:
        start: codebooks to go on from, so that a code keeps its meaning; ``seed`` then decides
            nothing. Returned as they are where no vector changes its codes. Those of another size
            than there can be are left out.

    Raises:
        TooFewVectors: there are none.
    """
    from threadpoolctl import threadpool_limits

    if len(vectors_ND) == 0:
        raise TooFewVectors(
            "semantic ids need at least one vector to fit codebooks on, but got none."
        )
    size = min(codebook_size, len(np.unique(vectors_ND, axis=0)))
    if start is not None and start.centroids_VKD.shape != (LEVELS, size, vectors_ND.shape[1]):
        start = None
    residual_ND = vectors_ND.astype(np.float64)
    levels = []
    # Sums taken by several threads come out in another order each time.
    with threadpool_limits(1):
        for level in range(LEVELS):
            begin = None if start is None else start.centroids_VKD[level]
            centroids_KD = _level(residual_ND, size, begin, seed=seed + level)
            levels.append(centroids_KD)
            residual_ND = residual_ND - centroids_KD[nearest_codes(residual_ND, centroids_KD)]
    found = Codebooks(np.stack(levels).astype(np.float32))
    if start is not None and np.array_equal(found.codes(vectors_ND), start.codes(vectors_ND)):
        return start
    return found


def sufficient_size(count: int, least: int) -> int:
    """Return the codes a level that leave room to match ``count`` vectors.

    They double from ``least`` on: a ranker's table of codes has their size, so a catalogue that
    grows a little should not change it.
    """
    size = least
    while size**LEVELS < _TRIPLES_A_VECTOR * count:
        size *= 2
    return size


def codebook_artifact(
    codebooks: Codebooks,
    metrics: Mapping[str, object],
    vectors: str,
    *,
    aligned_to: str | None = None,
) -> Artifact:
    """Return the encoder version of codebooks.

    Args:
        vectors: encoder version whose vectors they quantise.
        aligned_to: codebooks whose codes mean the same; SPUs take over their triples of them.
    """
    import torch

    levels, size, width = codebooks.centroids_VKD.shape
    config = {"kind": KIND, "levels": levels, "size": size, "width": width, "vectors": vectors}
    return Artifact(
        name=KIND,
        config=config if aligned_to is None else {**config, ALIGNED_TO: aligned_to},
        preprocessing={},
        tensors={"centroids": torch.from_numpy(codebooks.centroids_VKD)},
        metrics=metrics,
        description=f"Residual k-means, {levels} levels of {size}, of vectors by {vectors}.",
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
    """The ``semantic_id`` encoder; see ``encoders/protocol.py``: nearest codes, whole numbers."""

    inputs = ("embedding",)

    def __init__(self, version: str, codebooks: Codebooks) -> None:
        self._version, self._codebooks = version, codebooks

    @property
    def version(self) -> str:
        return self._version

    @property
    def codebooks(self) -> Codebooks:
        return self._codebooks

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


def nearest_codes(points_BD: NDArray[np.float64], centroids_KD: NDArray[np.float64]) -> Codes:
    """Return the nearest centroid of each point, int64 [B]; a tie goes to the lower code."""
    distances_BK = np.square(centroids_KD).sum(axis=1) - 2 * points_BD @ centroids_KD.T
    nearest: Codes = distances_BK.argmin(axis=1)
    return nearest


def _level(
    residual_ND: NDArray[np.float64], size: int, start_KD: Vectors | None, *, seed: int
) -> NDArray[np.float64]:
    from sklearn.cluster import KMeans

    k = min(size, len(np.unique(residual_ND, axis=0)))
    if start_KD is None:
        model = KMeans(k, n_init=_RESTARTS, random_state=seed)
    else:
        model = KMeans(k, init=start_KD[:k].astype(np.float64), n_init=1)
    return _padded(model.fit(residual_ND).cluster_centers_, size)


def _padded(centroids_KD: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Repeat the last centroid; a tie goes to the lower code, so the repeated ones stay unused."""
    return np.concatenate(
        [centroids_KD, np.repeat(centroids_KD[-1:], size - len(centroids_KD), axis=0)]
    )
