"""Projection: where on a plane do vectors lie, so that like ones lie near each other?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

# Shape suffixes: N vectors of width D; 2 for the plane.
Vectors = NDArray[np.float32]
Plane = NDArray[np.float64]

# Fewer points have no neighbourhoods to keep: their two main directions say as much.
_LEAST_FOR_TSNE = 30
_WIDTH = 50
_PERPLEXITY = 30.0
# Of how many neighbours trust speaks.
_NEIGHBOURS = 5


@dataclass(frozen=True)
class Projection:
    """Points on a plane, x and y between 0 and 1.

    Attributes:
        trust: trustworthiness (Venna and Kaski, 2001): 1 where the 5 points nearest on the plane
            are near in truth; None where there are too few points.
    """

    plane_N2: Plane
    method: str
    trust: float | None


def project(vectors_ND: Vectors) -> Projection:
    """Lay vectors out on a plane: PCA and then t-SNE, or PCA alone for a few.

    The same vectors give the same plane on one machine: one thread, a fixed seed.
    """
    # Half a second to import. Before the limit, which holds for libraries that are there by then:
    # t-SNE's own threads would wait for each other for longer than they work.
    from sklearn import manifold

    with threadpool_limits(1):
        reduced_ND = _principal(vectors_ND, _WIDTH)
        if len(vectors_ND) < _LEAST_FOR_TSNE:
            plane_N2, method = _padded(reduced_ND[:, :2]), "PCA"
        else:
            plane_N2, method = _embedded(reduced_ND), "PCA, then t-SNE"
        trust = None
        # Scikit-learn asks for more than twice as many points as neighbours.
        if len(vectors_ND) > 2 * _NEIGHBOURS:
            measured = manifold.trustworthiness(vectors_ND, plane_N2, n_neighbors=_NEIGHBOURS)
            trust = float(measured)
    return Projection(_fitted(plane_N2), method, trust)


def _principal(vectors_ND: Vectors, width: int) -> Plane:
    """Return the main components, each with a sign that does not depend on the solver."""
    centred_ND = vectors_ND.astype(np.float64) - vectors_ND.mean(axis=0, dtype=np.float64)
    # The covariance is D x D whatever the number of vectors.
    _, directions_DD = np.linalg.eigh(centred_ND.T @ centred_ND)
    directions_DW = directions_DD[:, ::-1][:, :width]
    largest = np.abs(directions_DW).argmax(axis=0)
    signs = np.sign(directions_DW[largest, np.arange(directions_DW.shape[1])])
    components_NW: Plane = centred_ND @ (directions_DW * signs)
    return components_NW


def _embedded(reduced_ND: Plane) -> Plane:
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(reduced_ND) - 1) / 3)
    # The two main directions are the start: an outcome that does not hang on a random one.
    start_N2 = reduced_ND[:, :2] / max(reduced_ND[:, 0].std(), 1e-12) * 1e-4
    run = TSNE(perplexity=perplexity, init=start_N2, random_state=0, n_jobs=1)
    plane_N2: Plane = run.fit_transform(reduced_ND).astype(np.float64)
    return plane_N2


def _padded(plane: Plane) -> Plane:
    missing = 2 - plane.shape[1]
    return np.pad(plane, ((0, 0), (0, missing))) if missing > 0 else plane


def _fitted(plane_N2: Plane) -> Plane:
    """Move and scale each axis into 0 to 1; four digits are more than is drawn."""
    low_2 = plane_N2.min(axis=0)
    spans_2 = plane_N2.max(axis=0) - low_2
    fitted_N2: Plane = np.where(
        spans_2 > 0, (plane_N2 - low_2) / np.where(spans_2, spans_2, 1), 0.5
    )
    return np.round(fitted_N2, 4)
