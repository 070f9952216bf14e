"""Neighbour overlap@10 between two releases.

Vectors of two releases cannot be compared with each other; their nearest neighbours can.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from spark_jobs.contracts import SPU_EMBEDDINGS, SPU_PREFERENCE_EMBEDDINGS, USER_EMBEDDINGS
from spark_jobs.releases.release import Release
from spark_jobs.releases.vectors import Vectors, common_vectors
from spark_jobs.warehouse.tables import Tables

# Shape suffixes: Q queries, N candidates, D width, K neighbours.
NEIGHBOURS = 10
SAMPLED = 2000


def neighbour_overlap(tables: Tables, left: Release, right: Release) -> dict[str, float]:
    """Return the share of nearest SPUs that two releases have in common.

    Neighbours are the SPUs nearest to an SPU by COPE, to an SPU by LEARN, and to a user; all of at
    most ``SAMPLED`` SPUs and users that both releases have, the same ones each time.
    """
    pairs = {
        "SPUs near an SPU, COPE": (SPU_EMBEDDINGS, SPU_EMBEDDINGS),
        "SPUs near an SPU, LEARN": (SPU_PREFERENCE_EMBEDDINGS, SPU_PREFERENCE_EMBEDDINGS),
        "SPUs near a user, LEARN": (USER_EMBEDDINGS, SPU_PREFERENCE_EMBEDDINGS),
    }
    common = {
        table: common_vectors(tables, table, left, right, at_most=SAMPLED)
        for table in (SPU_EMBEDDINGS, SPU_PREFERENCE_EMBEDDINGS, USER_EMBEDDINGS)
    }
    sampled = {table: (found.left_ND, found.right_ND) for table, found in common.items()}
    shares = {}
    for name, (queries, candidates) in pairs.items():
        nearest = [
            nearest_rows(of_queries, of_candidates, same_rows=queries is candidates)
            for of_queries, of_candidates in zip(sampled[queries], sampled[candidates], strict=True)
        ]
        shares[name] = overlap(*nearest)
    return shares


def nearest_rows(
    queries_QD: Vectors, candidates_ND: Vectors, *, same_rows: bool
) -> NDArray[np.int64]:
    """Return the nearest candidates of each query, both of norm 1, int64 [Q, K].

    Args:
        same_rows: row i of both is one SPU, which is not its own neighbour.
    """
    count = min(NEIGHBOURS + same_rows, len(candidates_ND))
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(candidates_ND)
    rows_QK: NDArray[np.int64] = search.kneighbors(queries_QD, return_distance=False)
    if not same_rows:
        return rows_QK
    # An equal vector may stand in its place: drop the row itself where it is, else the last one.
    is_self_QK = rows_QK == np.arange(len(rows_QK))[:, None]
    is_self_QK[~is_self_QK.any(axis=1), -1] = True
    others_QK: NDArray[np.int64] = rows_QK[~is_self_QK].reshape(len(rows_QK), -1)
    return others_QK


def overlap(left_QK: NDArray[np.int64], right_QK: NDArray[np.int64]) -> float:
    """Return the mean share of neighbours that both have; nan without rows."""
    if not left_QK.size:
        return float("nan")
    pairs = zip(left_QK, right_QK, strict=True)
    return float(np.mean([len(np.intersect1d(*pair)) / left_QK.shape[1] for pair in pairs]))
