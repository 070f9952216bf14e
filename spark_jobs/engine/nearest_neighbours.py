"""Nearest neighbours: exact search by cosine over a table of vectors.

Each worker keeps only the best of the rows that it reads, so that a table of millions costs one
pass and little memory.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

# Shape suffixes: N vectors of a table, Q queries, both of width D.
Vectors = NDArray[np.float32]
Batches = Iterable[pa.RecordBatch]

_SCHEMA = "query int, key string, score double"
_PAIR_SCHEMA = "key string, score double"


@dataclass(frozen=True)
class Hit:
    """A key and its cosine with a query."""

    key: str
    score: float


def nearest(vectors: DataFrame, queries_QD: Vectors, count: int) -> list[list[Hit]]:
    """Return for each query the keys of the vectors with the largest cosine, best first.

    Args:
        vectors: key, embedding (L2 norm 1). Vectors of another width than the queries are skipped.
    """
    if not len(queries_QD):
        return []
    best_first = Window.partitionBy("query").orderBy(F.col("score").desc(), "key")
    rows = (
        vectors.select("key", "embedding")
        .mapInArrow(_best_of_batches(queries_QD, count), _SCHEMA)
        .withColumn("_rank", F.row_number().over(best_first))
        .filter(F.col("_rank") <= count)
        .orderBy("query", "_rank")
        .collect()
    )
    hits: list[list[Hit]] = [[] for _ in queries_QD]
    for row in rows:
        hits[row["query"]].append(Hit(row["key"], row["score"]))
    return hits


def cosines(pairs: DataFrame) -> DataFrame:
    """Return the cosine of each pair of vectors of norm 1: key, score.

    Args:
        pairs: key, embedding_l, embedding_r, both of one width.
    """
    return pairs.select("key", "embedding_l", "embedding_r").mapInArrow(_scored, _PAIR_SCHEMA)


def best_of(keys: Sequence[str], vectors_ND: Vectors, queries_QD: Vectors, count: int) -> pa.Table:
    """Return the ``count`` best keys of each query: query, key, score; ties go to the lesser key.

    Scores are rounded: otherwise the last bit of a sum would decide between equal vectors.
    """
    scores_QN = np.round(queries_QD.astype(np.float64) @ vectors_ND.T.astype(np.float64), 6)
    names = np.asarray(keys, dtype=object)
    by_name = np.argsort(names)
    queries, found, scores = [], [], []
    for query, query_scores in enumerate(scores_QN):
        best = by_name[np.argsort(-query_scores[by_name], kind="stable")[:count]]
        queries += [query] * len(best)
        found += list(names[best])
        scores += query_scores[best].tolist()
    columns = [pa.array(queries, pa.int32()), pa.array(found, pa.string()), pa.array(scores)]
    return pa.table(columns, names=["query", "key", "score"])


def stacked(column: pa.Array, width: int) -> Vectors:
    """Return an Arrow column of vectors, all of one width, as a matrix."""
    flat = column.flatten().to_numpy(zero_copy_only=False)
    matrix_ND: Vectors = flat.reshape(len(column), width)
    return matrix_ND


def _best_of_batches(
    queries_QD: Vectors, count: int
) -> Callable[[Batches], Iterator[pa.RecordBatch]]:
    width = queries_QD.shape[1]

    def run(batches: Batches) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            sizes = pc.list_value_length(batch["embedding"])
            fitting = batch.filter(pc.equal(sizes, width))
            if fitting.num_rows:
                vectors_ND = stacked(fitting["embedding"], width)
                keys = fitting["key"].to_pylist()
                yield from best_of(keys, vectors_ND, queries_QD, count).to_batches()

    return run


def _scored(batches: Batches) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        scores = [
            round(float(np.dot(left, right)), 6)
            for left, right in zip(
                batch["embedding_l"].to_numpy(zero_copy_only=False),
                batch["embedding_r"].to_numpy(zero_copy_only=False),
                strict=True,
            )
        ]
        yield pa.record_batch(
            [batch["key"], pa.array(scores, pa.float64())], names=["key", "score"]
        )
