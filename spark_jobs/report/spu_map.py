"""Map of SPUs: a plane on which those with like COPE vectors lie near, coloured by category."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, Row
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from spark_jobs.report.lookups import Catalogue
from spark_jobs.report.model import Point, SpuMap, to_spu

# Shape suffixes: N vectors of width D, their W main components; 2 for the plane.
Vectors = NDArray[np.float32]
Plane = NDArray[np.float64]

# A page of 2,000 points is 1 MB; more would only overlap.
MOST_POINTS = 2_000
# More colours than this cannot be distinguished, least of all by the colour-blind.
MOST_GROUPS = 8
OTHER = "Other categories"
_SEPARATOR = " > "
# Fewer points have no neighbourhoods to keep: their two main components show as much.
_LEAST_FOR_TSNE = 30
_COMPONENTS = 50
_PERPLEXITY = 30.0
_NEIGHBOURS = 5  # of a point, for trustworthiness


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


def draw_map(catalogue: Catalogue) -> list[SpuMap]:
    """Return the map of a sample of the SPUs; nothing where none has a vector."""
    with_vectors = catalogue.spus.join(catalogue.spu_vectors, on="spu_id", how="inner")
    rows = with_vectors.orderBy(*hash_order("spu_id")).limit(MOST_POINTS).collect()
    return [laid_out(rows)] if rows else []


def hash_order(key: str) -> tuple[Column, Column]:
    """Return columns to order by that draw a sample: by chance, and the same one each time."""
    return F.xxhash64(key), F.col(key)


def laid_out(rows: Sequence[Row]) -> SpuMap:
    """Return the map of SPUs with their vectors.

    Args:
        rows: spu_id, title, brand, category, n_items, embedding.
    """
    projection = project(np.array([row["embedding"] for row in rows], np.float32))
    spus = [to_spu(row) for row in rows]
    names, groups = category_groups([spu.category for spu in spus])
    points = [
        Point(float(x), float(y), group, spu)
        for (x, y), group, spu in zip(projection.plane_N2, groups, spus, strict=True)
    ]
    # By category and title, the order in which the table beside the map is read.
    points.sort(key=lambda p: (p.group, p.spu.category, p.spu.title, p.spu.spu_id))
    return SpuMap(points, names, projection.method, projection.trust)


def category_groups(categories: Sequence[str]) -> tuple[list[str], list[int]]:
    """Group categories by the longest start of their paths that leaves few groups.

    Args:
        categories: of each point, from general to special, separated by " > "; empty where it has
            none.

    Returns:
        The names of the groups, most points first, ``OTHER`` last where it has points; and for each
        point the position of its group.
    """
    labels = _labels(categories)
    counts = Counter(label for label in labels if label != OTHER)
    ordered = sorted(counts, key=lambda label: (-counts[label], label))
    kept = ordered[:MOST_GROUPS]
    names = [*kept, *([OTHER] if len(ordered) > len(kept) or OTHER in labels else [])]
    positions = {name: position for position, name in enumerate(names)}
    return names, [positions.get(label, len(names) - 1) for label in labels]


def project(vectors_ND: Vectors) -> Projection:
    """Lay vectors out on a plane: PCA and then t-SNE, or PCA alone for a few.

    The same vectors give the same plane on one machine: one thread, a fixed seed.
    """
    # Half a second to import. Before the limit, which holds for libraries that are there by then:
    # t-SNE's own threads would wait for each other for longer than they work.
    from sklearn import manifold

    with threadpool_limits(1):
        components_NW = _components(vectors_ND)
        if len(vectors_ND) < _LEAST_FOR_TSNE:
            plane_N2, method = _two_columns(components_NW), "PCA"
        else:
            plane_N2, method = _tsne(components_NW), "PCA, then t-SNE"
        trust = None
        # Scikit-learn needs more than twice as many points as neighbours.
        if len(vectors_ND) > 2 * _NEIGHBOURS:
            trust = manifold.trustworthiness(vectors_ND, plane_N2, n_neighbors=_NEIGHBOURS)
    return Projection(_in_unit_square(plane_N2), method, None if trust is None else float(trust))


def _labels(categories: Sequence[str]) -> list[str]:
    """Cut the paths at the deepest level that needs no more than ``MOST_GROUPS`` groups.

    Where even the first level has more, it is the first level: the largest groups are kept.
    """
    deepest = max((category.count(_SEPARATOR) + 1 for category in categories), default=1)
    for depth in range(deepest, 0, -1):
        labels = [
            _SEPARATOR.join(category.split(_SEPARATOR)[:depth]) or OTHER for category in categories
        ]
        if depth == 1 or len(set(labels) - {OTHER}) <= MOST_GROUPS:
            return labels
    return []


def _components(vectors_ND: Vectors) -> Plane:
    """Return the main components, each with a sign that does not depend on the solver."""
    centred_ND = vectors_ND.astype(np.float64) - vectors_ND.mean(axis=0, dtype=np.float64)
    # The covariance is D x D whatever the number of vectors.
    _, directions_DD = np.linalg.eigh(centred_ND.T @ centred_ND)
    directions_DW = directions_DD[:, ::-1][:, :_COMPONENTS]
    largest = np.abs(directions_DW).argmax(axis=0)
    signs = np.sign(directions_DW[largest, np.arange(directions_DW.shape[1])])
    components_NW: Plane = centred_ND @ (directions_DW * signs)
    return components_NW


def _tsne(components_NW: Plane) -> Plane:
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(components_NW) - 1) / 3)
    # The two main components are the start: the outcome does not depend on a random one.
    start_N2 = components_NW[:, :2] / max(components_NW[:, 0].std(), 1e-12) * 1e-4
    run = TSNE(perplexity=perplexity, init=start_N2, random_state=0, n_jobs=1)
    plane_N2: Plane = run.fit_transform(components_NW).astype(np.float64)
    return plane_N2


def _two_columns(components_NW: Plane) -> Plane:
    missing = max(0, 2 - components_NW.shape[1])
    return np.pad(components_NW[:, :2], ((0, 0), (0, missing)))


def _in_unit_square(plane_N2: Plane) -> Plane:
    """Move and scale each axis into 0 to 1; four digits are more than is drawn."""
    low_2 = plane_N2.min(axis=0)
    spans_2 = plane_N2.max(axis=0) - low_2
    scaled_N2: Plane = np.where(
        spans_2 > 0, (plane_N2 - low_2) / np.where(spans_2, spans_2, 1), 0.5
    )
    return np.round(scaled_N2, 4)
