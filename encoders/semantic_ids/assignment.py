"""Assignment: a triple of codes of its own for each vector, by optimal matching within a prefix.

The first two codes, the prefix, are the nearest; of the last level each prefix gives a code to one
vector alone. A ranker that trains an embedding of the triple so trains one of the item.

Shapes: N vectors, T triples in use, D numbers, K codes a level, P = K * K prefixes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.semantic_ids.codebooks import LEVELS, Codebooks, Codes, Vectors

_NONE = -1
_ROWS_AT_ONCE = 4096
NO_CODES: Codes = np.empty((0, LEVELS), np.int64)

Distances = NDArray[np.float64]


@dataclass(frozen=True)
class Claims:
    """What vectors may keep.

    Attributes:
        codes_NV: triple that each vector's item had so far; negative where it had none.
        unmoved_N: whether the vector is the very same as then, so that any prefix may be kept.
    """

    codes_NV: Codes
    unmoved_N: NDArray[np.bool_]

    @classmethod
    def none(cls, count: int) -> "Claims":
        """Return claims of vectors whose items had no codes."""
        return cls(np.full((count, LEVELS), _NONE), np.zeros(count, np.bool_))


def assigned_codes(
    vectors_ND: Vectors,
    codebooks: Codebooks,
    *,
    taken_TV: Codes = NO_CODES,
    claims: Claims | None = None,
) -> Codes:
    """Give each vector a triple that no other one and nothing in ``taken_TV`` has.

    A vector keeps the triple that it claims where that is free and its prefix is still the nearest.
    A prefix without a code for each of the others keeps those nearest to it; the rest go, farthest
    first, to the nearest prefix with room. Within a prefix, free last codes are given out so that
    the squared errors have the least sum.

    Only where every triple of the codebooks is in use, what is left gets its nearest triple, which
    then is not its own.

    Args:
        vectors_ND: in the order of their keys, so that ties are broken alike in every run. Equal
            vectors get triples of their own too.
        taken_TV: triples in use; repeated ones count once.

    Returns:
        int64 [N, 3].
    """
    size = codebooks.size
    nearest_NV = codebooks.codes(vectors_ND)
    prefix_N = _prefixes(nearest_NV, size)
    taken_T = np.unique(_triples(taken_TV[_is_valid(taken_TV, size)], size))
    claims = Claims.none(len(vectors_ND)) if claims is None else claims
    triple_N = _kept(claims, prefix_N, taken_T, size)
    taken_T = np.union1d(taken_T, triple_N[triple_N != _NONE])

    rows = np.flatnonzero(triple_N == _NONE)
    room_P = size - np.bincount(taken_T // size, minlength=size**2)
    prefix_N[rows] = _with_room(vectors_ND[rows], prefix_N[rows], codebooks, room_P)
    rows = rows[prefix_N[rows] != _NONE]
    triple_N[rows] = _matched(vectors_ND[rows], prefix_N[rows], codebooks, taken_T)
    codes_NV = np.stack(np.unravel_index(np.maximum(triple_N, 0), (size,) * LEVELS), axis=1)
    return np.where(triple_N[:, None] == _NONE, nearest_NV, codes_NV)


def _kept(claims: Claims, prefix_N: Codes, taken_T: Codes, size: int) -> Codes:
    """Return the triples that vectors keep, as one number each; ``_NONE`` for the others."""
    triple_N = _triples(claims.codes_NV, size)
    is_near_N = claims.unmoved_N | (triple_N // size == prefix_N)
    good_N = _is_valid(claims.codes_NV, size) & is_near_N & ~np.isin(triple_N, taken_T)
    # Of several claims to a triple, that of an unmoved vector goes first, then that of a lower row.
    rows = np.flatnonzero(good_N)
    rows = rows[np.argsort(~claims.unmoved_N[rows], kind="stable")]
    firsts = rows[np.unique(triple_N[rows], return_index=True)[1]]
    kept_N = np.full(len(triple_N), _NONE)
    kept_N[firsts] = triple_N[firsts]
    return kept_N


def _with_room(vectors_ND: Vectors, prefix_N: Codes, codebooks: Codebooks, room_P: Codes) -> Codes:
    """Return the prefix that each vector goes to; ``_NONE`` where none has room."""
    sums_ND = codebooks.centroids_VKD[0][prefix_N // codebooks.size].astype(np.float64)
    sums_ND += codebooks.centroids_VKD[1][prefix_N % codebooks.size]
    error_N = np.square(vectors_ND - sums_ND).sum(axis=1)
    order = np.lexsort((error_N, prefix_N))
    place_N = np.empty(len(order), np.int64)  # of each vector among those of its prefix
    firsts = np.searchsorted(prefix_N[order], prefix_N[order], side="left")
    place_N[order] = np.arange(len(order)) - firsts
    fits_N = place_N < room_P[prefix_N]
    room_P = room_P - np.bincount(prefix_N[fits_N], minlength=len(room_P))

    prefix_N = np.where(fits_N, prefix_N, _NONE)
    rows = np.flatnonzero(~fits_N)
    rows = rows[np.argsort(-error_N[rows], kind="stable")]
    for row, distance_P in zip(rows, _prefix_distances(vectors_ND[rows], codebooks), strict=True):
        if not room_P.any():
            break
        chosen = int(np.where(room_P > 0, distance_P, np.inf).argmin())
        prefix_N[row] = chosen
        room_P[chosen] -= 1
    return prefix_N


def _prefix_distances(vectors_ND: Vectors, codebooks: Codebooks) -> Iterator[Distances]:
    """Yield, vector by vector, its squared distance to every prefix, but for its own norm, [P]."""
    first_KD, second_KD = codebooks.centroids_VKD[:2].astype(np.float64)
    norms_KK = (
        np.square(first_KD).sum(axis=1)[:, None]
        + np.square(second_KD).sum(axis=1)
        + 2 * first_KD @ second_KD.T
    )
    for start in range(0, len(vectors_ND), _ROWS_AT_ONCE):
        rows_BD = vectors_ND[start : start + _ROWS_AT_ONCE].astype(np.float64)
        for along_K, across_K in zip(rows_BD @ first_KD.T, rows_BD @ second_KD.T, strict=True):
            yield (norms_KK - 2 * along_K[:, None] - 2 * across_K).ravel()


def _matched(vectors_ND: Vectors, prefix_N: Codes, codebooks: Codebooks, taken_T: Codes) -> Codes:
    """Return a free triple of its prefix for each vector, as one number each."""
    from scipy.optimize import linear_sum_assignment  # half a second, of workers alone

    size = codebooks.size
    first_KD, second_KD, last_KD = codebooks.centroids_VKD.astype(np.float64)
    triple_N = np.empty(len(vectors_ND), np.int64)
    order = np.argsort(prefix_N, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(prefix_N[order])) + 1):
        if not len(rows):
            continue
        prefix = int(prefix_N[rows[0]])
        used = slice(*np.searchsorted(taken_T, (prefix * size, (prefix + 1) * size)))
        free = np.setdiff1d(np.arange(size), taken_T[used] % size, assume_unique=True)
        residual_BD = vectors_ND[rows] - (first_KD[prefix // size] + second_KD[prefix % size])
        # A vector's own norm is the same whatever code it gets.
        costs_BF = np.square(last_KD[free]).sum(axis=1) - 2 * residual_BD @ last_KD[free].T
        triple_N[rows] = prefix * size + free[linear_sum_assignment(costs_BF)[1]]
    return triple_N


def _prefixes(codes_NV: Codes, size: int) -> Codes:
    prefixes: Codes = codes_NV[:, 0] * size + codes_NV[:, 1]
    return prefixes


def _triples(codes_NV: Codes, size: int) -> Codes:
    return _prefixes(codes_NV, size) * size + codes_NV[:, 2]


def _is_valid(codes_NV: Codes, size: int) -> NDArray[np.bool_]:
    """Whether each triple is one of the codebooks, and not none at all."""
    least_N, most_N = codes_NV.min(axis=1, initial=size), codes_NV.max(axis=1, initial=_NONE)
    valid_N: NDArray[np.bool_] = (least_N >= 0) & (most_N < size)
    return valid_N
