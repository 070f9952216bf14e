"""Map: SPUs on a plane, near where their COPE vectors are alike, coloured by category."""

from collections.abc import Sequence

import numpy as np
from pyspark.sql import DataFrame, Row

from spark_jobs.report.categories import category_groups
from spark_jobs.report.choices import for_map
from spark_jobs.report.facts import Point, SpuMap
from spark_jobs.report.lookups import to_spu
from spark_jobs.report.projection import project

# A page of 2,000 points is 1 MB; more of them would only lie on top of each other.
MOST_POINTS = 2_000


def draw_map(spus: DataFrame, vectors: DataFrame) -> SpuMap | None:
    """Return the map of a sample of the SPUs; None where none has a vector.

    Args:
        spus: spu_id, title, brand, category, n_items.
        vectors: spu_id, embedding.
    """
    rows = for_map(spus, vectors, MOST_POINTS).collect()
    return laid_out(rows) if rows else None


def laid_out(rows: Sequence[Row]) -> SpuMap:
    """Lay rows of SPUs with their vectors out as a map."""
    placed = project(np.array([row["embedding"] for row in rows], np.float32))
    found = [to_spu(row) for row in rows]
    names, groups = category_groups([spu.category for spu in found])
    points = [
        Point(float(x), float(y), group, spu)
        for (x, y), group, spu in zip(placed.plane_N2, groups, found, strict=True)
    ]
    # By category and title, the order in which the table beside the map is read.
    points.sort(key=lambda p: (p.group, p.spu.category, p.spu.title, p.spu.spu_id))
    return SpuMap(points, names, placed.method, placed.trust)
