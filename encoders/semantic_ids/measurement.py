"""Measurement of semantic ids: use of codebooks, collisions, change, and behaviour that they hold.

Shapes: N vectors, P pairs, V levels, K codes a level.
"""

import numpy as np
from numpy.typing import NDArray

from encoders.semantic_ids.codebooks import Codebooks, Codes, Vectors


def codebook_metrics(
    codes_NV: Codes, vectors_ND: Vectors, codebooks: Codebooks
) -> dict[str, float]:
    """Return how well the codes are used.

    Returns:
        For each level: ``c1_utilisation``, the share of codes in use, and ``c1_entropy``, of their
        use as a share of the most possible. ``c1_collision_rate``, ``c2_collision_rate`` and
        ``collision_rate``: share of vectors whose first code, first two and triple another,
        different vector has. ``relative_error``: squared error of the reconstruction over the
        variance.
    """
    figures = {}
    size, levels = codebooks.size, codes_NV.shape[1]
    for level in range(levels):
        share_K = np.bincount(codes_NV[:, level], minlength=size) / len(codes_NV)
        used = share_K[share_K > 0]
        entropy = float(-(used * np.log(used)).sum() / np.log(size)) if size > 1 else 1.0
        figures[f"c{level + 1}_utilisation"] = len(used) / size
        figures[f"c{level + 1}_entropy"] = entropy
    distinct = np.unique(vectors_ND, axis=0, return_index=True)[1]
    for depth in range(1, levels + 1):
        name = "collision_rate" if depth == levels else f"c{depth}_collision_rate"
        figures[name] = _shared(codes_NV[distinct, :depth])
    error = np.square(vectors_ND - codebooks.reconstructed(codes_NV)).sum()
    spread = np.square(vectors_ND - vectors_ND.mean(axis=0)).sum()
    figures["relative_error"] = float(error / spread) if spread > 0 else 0.0
    return figures


def changed_codes(before_NV: Codes, after_NV: Codes) -> dict[str, float]:
    """Return the shares of items whose codes differ: ``c1``, ``c2``, ``c3`` and ``triple``.

    Nothing compared is nothing changed.
    """
    differs_NV = before_NV != after_NV
    shares = {f"c{v + 1}": _mean(differs_NV[:, v]) for v in range(differs_NV.shape[1])}
    return {**shares, "triple": _mean(differs_NV.any(axis=1))}


def prefix_agreement(pairs_P2: Codes, codes_NV: Codes) -> dict[str, float]:
    """Return how often behavioural neighbours share a prefix, beside chance.

    Args:
        pairs_P2: rows in ``codes_NV`` of two different items that a user met one after the other;
            a pair counts as often as it is met.

    Returns:
        ``c1`` and ``c1_c2``, the shares of pairs that agree; ``c1_by_chance`` and
        ``c1_c2_by_chance``, of pairs drawn from the same items, as often as each was met.
    """
    figures = {}
    for depth, name in ((1, "c1"), (2, "c1_c2")):
        prefix_N = np.unique(codes_NV[:, :depth], axis=0, return_inverse=True)[1].ravel()
        prefix_P2 = prefix_N[pairs_P2]
        figures[name] = _mean(prefix_P2[:, 0] == prefix_P2[:, 1])
        met = np.bincount(prefix_P2.ravel())
        figures[f"{name}_by_chance"] = float(np.square(met / max(1, met.sum())).sum())
    return figures


def _shared(codes_NV: Codes) -> float:
    """Return the share of rows that are not the only one of their codes."""
    counts = np.unique(codes_NV, axis=0, return_counts=True)[1]
    return float(counts[counts > 1].sum() / len(codes_NV))


def _mean(is_so: NDArray[np.bool_]) -> float:
    return float(is_so.mean()) if is_so.size else 0.0
