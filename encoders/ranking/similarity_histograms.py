"""Histograms of how alike a candidate is to the products of a user's history.

After SimTier (Sheng et al., CIKM 2024): a cosine is put into one of a few tiers, and a ranker reads
how many products of the history lie in each. One number, such as the cosine of a user's and a
product's vector, says how near a candidate is to the taste on average; a histogram keeps that one
product of the history is nearly the same.

Needs numpy alone, so a ranking service can use it as it stands.

Shapes: C candidates, T products of a history, D numbers a vector, B bins.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

BINS = 12
_LEAST, _MOST = 0.0, 1.0


def similarity_histogram(
    candidates_CD: NDArray[np.floating], history_TD: NDArray[np.floating], *, bins: int = BINS
) -> NDArray[np.float32]:
    """Count the products of a history by their cosine with each candidate.

    The first bin holds all cosines below 0, the others share 0 to 1 evenly, the last one with
    both its ends. Zeros and NaN are no vector: such a row of the history is left out, and such a
    candidate gets zeros.

    Args:
        candidates_CD: of one release.
        history_TD: of the same release; T may be 0. A product that was met twice stands twice.
        bins: two or more.

    Returns:
        counts, float32 [C, B].

    Raises:
        ValueError: the vectors are not equally wide, or there are fewer than two bins.
    """
    _check(candidates_CD, history_TD, bins)
    unit_CD, is_there_C = _unit(candidates_CD)
    unit_TD, is_there_T = _unit(history_TD)
    cosine_CT = unit_CD @ unit_TD[is_there_T].T
    place_CT = 1 + np.floor((cosine_CT - _LEAST) / (_MOST - _LEAST) * (bins - 1)).astype(np.int64)
    # Rounding leaves the cosine of equal vectors a little off 1.
    place_CT = np.clip(place_CT, 0, bins - 1)
    cells_CT = place_CT + bins * np.arange(len(unit_CD))[:, None]
    counts_CB = np.bincount(cells_CT.ravel(), minlength=bins * len(unit_CD)).reshape(-1, bins)
    return (counts_CB * is_there_C[:, None]).astype(np.float32)


def _unit(vectors_ND: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return vectors at unit norm, zeros in place of those that are none, and which are some."""
    values_ND = np.asarray(vectors_ND, np.float32)
    norm_N = np.linalg.norm(values_ND, axis=1)
    is_there_N = np.isfinite(norm_N) & (norm_N > 0)
    unit_ND = np.zeros_like(values_ND)
    unit_ND[is_there_N] = values_ND[is_there_N] / norm_N[is_there_N, None]
    return unit_ND, is_there_N


def vector_matrix(
    vectors: Iterable[Sequence[float] | NDArray[np.floating] | None],
) -> NDArray[np.float32]:
    """Return vectors as Feast returns them, null where there is none, as rows of a matrix.

    Returns:
        float32 [N, D], NaN where there is none; D is 0 where there is none at all.
    """
    rows = [None if vector is None else np.asarray(vector, np.float32) for vector in vectors]
    width = max((len(row) for row in rows if row is not None), default=0)
    nothing = np.full(width, np.nan, np.float32)
    # Feast has an empty list where an array is null.
    known = [row if row is not None and len(row) else nothing for row in rows]
    return np.stack(known) if known else np.zeros((0, 0), np.float32)


def _check(
    candidates_CD: NDArray[np.floating], history_TD: NDArray[np.floating], bins: int
) -> None:
    if bins < 2:
        raise ValueError(f"a histogram needs two bins or more, but bins is {bins}.")
    if candidates_CD.ndim != 2 or history_TD.ndim != 2:
        shapes = f"{candidates_CD.shape} and {history_TD.shape}"
        raise ValueError(f"vectors should be rows of two matrices, but these are {shapes}.")
    if candidates_CD.shape[1] != history_TD.shape[1]:
        raise ValueError(
            "vectors of one release are equally wide, but candidates have "
            f"{candidates_CD.shape[1]} numbers and the history has {history_TD.shape[1]}."
        )
