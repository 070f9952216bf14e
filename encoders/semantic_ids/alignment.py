"""Alignment: codebooks to start k-means from, so that codes mean what those of a release meant.

A ranker's table of code embeddings goes on being of use only where a code keeps its meaning, and
k-means numbers its cells as they come. Begun from the old cells it finds cells as good, and numbers
them alike: on 12,101 contents of Amazon Beauty in another space, 16 % of the triples change, while
75 % do if new cells are matched to old ones afterwards (docs/results/2026-11-30-semantic-ids.md).

Shapes: N items, V levels, K codes a level, D numbers.
"""

import numpy as np

from encoders.semantic_ids.codebooks import LEVELS, Codebooks, Codes, Vectors, nearest_codes


def membership_centroids(
    vectors_ND: Vectors, codes_NV: Codes, *, codebook_size: int, seed: int = 0
) -> Codebooks | None:
    """Return centroids of the items that have each code, in the space of ``vectors_ND``.

    The codes may be of vectors of another encoder, and of codebooks of another size. A code without
    an item gets an item's residual drawn at random.

    Args:
        codes_NV: code that each vector's item had so far; negative where it had none.

    Returns:
        None where no item had a code.
    """
    had_N = ((codes_NV >= 0) & (codes_NV < codebook_size)).all(axis=1)
    if not had_N.any():
        return None
    rng = np.random.default_rng(seed)
    residual_ND = vectors_ND.astype(np.float64)
    centroids_VKD = np.empty((LEVELS, codebook_size, vectors_ND.shape[1]))
    for level, centroids_KD in enumerate(centroids_VKD):
        members_K = np.bincount(codes_NV[had_N, level], minlength=codebook_size)
        drawn = rng.integers(len(residual_ND), size=codebook_size)
        centroids_KD[:] = np.where(members_K[:, None] > 0, 0, residual_ND[drawn])
        np.add.at(centroids_KD, codes_NV[had_N, level], residual_ND[had_N])
        centroids_KD /= np.maximum(members_K, 1)[:, None]
        residual_ND = residual_ND - centroids_KD[nearest_codes(residual_ND, centroids_KD)]
    return Codebooks(centroids_VKD.astype(np.float32))
