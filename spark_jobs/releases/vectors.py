"""Vectors that two releases have of the same keys, sampled for the driver."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import functions as F

from spark_jobs.contracts import ENCODED, Table
from spark_jobs.releases.release import Release
from spark_jobs.warehouse.tables import Tables

# Shape suffixes: N keys, D width.
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class CommonVectors:
    """Vectors of the same keys by two releases, row by row; their widths may differ."""

    keys: Sequence[str]
    left_ND: Vectors
    right_ND: Vectors


def common_vectors(
    tables: Tables, table: Table, left: Release, right: Release, *, at_most: int
) -> CommonVectors:
    """Return the current vectors of the keys that both releases have.

    Args:
        at_most: keys of a release that are read, the same ones each time.
    """
    of_left, of_right = (
        _vectors(tables, table, release.encoders[ENCODED[table.name]], at_most)
        for release in (left, right)
    )
    keys = [key for key in of_left if key in of_right]
    return CommonVectors(
        keys, *(_matrix([found[key] for key in keys]) for found in (of_left, of_right))
    )


def _vectors(tables: Tables, table: Table, version: str, at_most: int) -> dict[str, Vectors]:
    key = table.keys[0]
    rows = (
        tables.current(table, [key, "encoder_version", "embedding"])
        .filter(F.col("encoder_version") == version)
        .orderBy(F.xxhash64(key), key)
        .limit(at_most)
        .select(key, "embedding")
        .toArrow()
    )
    vectors = (np.asarray(vector, np.float32) for vector in rows["embedding"].to_pylist())
    return dict(zip(rows[key].to_pylist(), vectors, strict=True))


def _matrix(vectors: Sequence[Vectors]) -> Vectors:
    return np.stack(vectors) if vectors else np.empty((0, 1), np.float32)
