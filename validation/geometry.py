"""Geometry: whether a set of vectors still tells its rows apart, or has collapsed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Shape suffixes: N vectors of width D.
Vectors = NDArray[np.float64]

# float32 vectors of one content that were encoded in different batches agree to 1e-6; 0.9999 is 0.8
# degrees.
SAME_DIRECTION = 0.9999


def mean_cosine(vectors_ND: Vectors) -> float:
    """Return the mean cosine over all pairs of different rows."""
    unit_ND = _unit(vectors_ND)
    n = len(unit_ND)
    total_D = unit_ND.sum(axis=0)
    return float((total_D @ total_D - n) / (n * (n - 1)))


def effective_rank(vectors_ND: Vectors) -> float:
    """Return the number of directions in use.

    The exponential of the spectrum's entropy (Roy and Vetterli, 2007). Directions are those of the
    rows around their mean; 1 when all rows are the same.
    """
    centred_ND = vectors_ND - vectors_ND.mean(axis=0)
    spectrum = np.linalg.svd(centred_ND, compute_uv=False) ** 2
    if spectrum.sum() < 1e-9 * len(vectors_ND):
        return 1.0
    shares = spectrum / spectrum.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def near_identical_share(vectors_ND: Vectors, contents: Sequence[str]) -> float:
    """Return the share of rows that have the direction of a row of another content."""
    unit_ND = _unit(vectors_ND)
    codes = np.unique(np.asarray(contents), return_inverse=True)[1]
    same_NN = (unit_ND @ unit_ND.T > SAME_DIRECTION) & (codes[:, None] != codes[None, :])
    return float(same_NN.any(axis=1).mean())


def _unit(vectors_ND: Vectors) -> Vectors:
    norms_N1 = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    unit_ND: Vectors = vectors_ND / np.maximum(norms_N1, 1e-12)
    return unit_ND
