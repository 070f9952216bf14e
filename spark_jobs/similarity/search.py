"""Search: which SPUs' vectors are nearest to one vector, of all that there are?

Exact: every vector is looked at. Each worker goes through its own, batch by batch, and keeps the
best few, so that memory is bounded however many SPUs there are.

Shapes: B rows of a batch, D numbers of a vector.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

Vector = NDArray[np.float64]

# Equal vectors may differ in the last bits, by the batch that they are multiplied in.
_DECIMALS = 9


@dataclass(frozen=True)
class Match:
    """An SPU, and the cosine of its vector and the one that was asked for."""

    spu_id: str
    cosine: float


def nearest_spus(vectors: DataFrame, query_D: Vector, top: int) -> list[Match]:
    """Return the nearest SPUs, nearest first; of equally near ones the smaller id first.

    Args:
        vectors: spu_id, embedding; one row an SPU, of as many numbers as ``query_D``.
    """
    # Each task returns ``top`` rows at most.
    found = (
        vectors.filter("embedding IS NOT NULL")
        .select("spu_id", "embedding")
        .mapInArrow(
            partial(_nearest_of_task, query_D=query_D, top=top), "spu_id string, cosine double"
        )
        .collect()
    )
    return best([Match(row["spu_id"], row["cosine"]) for row in found], top)


def nearest(batches: Iterable[pa.RecordBatch], query_D: Vector, top: int) -> list[Match]:
    """Return the nearest SPUs among batches of spu_id and embedding."""
    kept: list[Match] = []
    for batch in batches:
        cosine_B = cosines(batch.column("embedding"), query_D)
        candidates = np.argsort(-cosine_B, kind="stable")
        # Those as near as the last one that is kept may have smaller ids.
        last = cosine_B[candidates[min(top, len(candidates)) - 1]] if len(candidates) else 0.0
        names = batch.column("spu_id")
        near = np.flatnonzero(cosine_B >= last)
        kept = best([*kept, *(Match(names[int(i)].as_py(), float(cosine_B[i])) for i in near)], top)
    return kept


def best(matches: Iterable[Match], top: int) -> list[Match]:
    """Return the ``top`` best, best first, ties to the smaller id."""
    return sorted(matches, key=lambda match: (-match.cosine, match.spu_id))[:top]


def cosines(vectors: pa.ListArray, query_D: Vector) -> Vector:
    """Return the cosine of each vector of a column and the query [B]; 0 for a vector of zeros."""
    vectors_BD = vectors.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
    vectors_BD = vectors_BD.reshape(len(vectors), len(query_D))
    norms_B = np.linalg.norm(vectors_BD, axis=1) * np.linalg.norm(query_D)
    dots_B = vectors_BD @ query_D
    cosine_B: Vector = np.divide(dots_B, norms_B, out=np.zeros_like(dots_B), where=norms_B > 0)
    return np.round(cosine_B, _DECIMALS)


def _nearest_of_task(
    batches: Iterable[pa.RecordBatch], query_D: Vector, top: int
) -> Iterator[pa.RecordBatch]:
    matches = nearest(batches, query_D, top)
    yield pa.RecordBatch.from_arrays(
        [
            pa.array([match.spu_id for match in matches], pa.string()),
            pa.array([match.cosine for match in matches], pa.float64()),
        ],
        names=["spu_id", "cosine"],
    )
