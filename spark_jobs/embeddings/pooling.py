"""Pooling: the COPE vector of an SPU from the vectors of its items, in Spark and in numpy.

The mean of each domain's vectors first, then the mean of those: eight live slices of a product do
not outvote its page. Members are not weighted by confidence, which moves a little every night and
would make a new vector each time. Nights pool in Spark (``pooled_vectors``); training, which holds
all vectors, in numpy (``pooled``).

Shapes: N items, S SPUs, D numbers.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.embeddings.incremental import first_vectors

# Means of vectors that point every way have no direction worth serving.
_MIN_NORM = 1e-6
NO_ITEM_VECTOR = "no_item_vector"


def spu_contents(spus: DataFrame, members: DataFrame, items: DataFrame) -> DataFrame:
    """Return the contents of each SPU's members, each as often as it occurs.

    Args:
        spus: spu_id.
        members: spu_id, domain, item_id.
        items: domain, item_id, content_hash of the items that have a vector.

    Returns:
        spu_id, content_hash (SHA-256 of the sorted content hashes), members (array of domain,
        content_hash). SPUs without a single vector are left out.
    """
    return (
        members.join(items, on=["domain", "item_id"], how="inner")
        .groupBy("spu_id")
        .agg(F.sort_array(F.collect_list(F.struct("domain", "content_hash"))).alias("members"))
        .join(spus.select("spu_id"), on="spu_id", how="left_semi")
        .select(
            "spu_id",
            F.sha2(F.array_join("members.content_hash", ","), 256).alias("content_hash"),
            "members",
        )
    )


def without_vector(spus: DataFrame, contents: DataFrame) -> DataFrame:
    """Return the SPUs that no item has a vector for, as rows of ``quarantine``."""
    payload = F.struct(F.lit("none of its items has a vector").alias("detail"))
    return spus.join(contents, on="spu_id", how="left_anti").select(
        F.lit("spus").alias("source"),
        F.lit(NO_ITEM_VECTOR).alias("reason"),
        F.lit("row").alias("scope"),
        F.col("spu_id").alias("record_key"),
        F.to_json(payload).alias("payload"),
    )


def pooled_vectors(wanted: DataFrame, contents: DataFrame, item_vectors: DataFrame) -> DataFrame:
    """Pool the vectors of each wanted content of an SPU.

    Args:
        wanted: content_hash, distinct.
        contents: as from ``spu_contents``. Several SPUs may hold the same.
        item_vectors: content_hash, embedding, event_timestamp: log of one encoder version.

    Returns:
        content_hash, embedding (L2 norm 1; null where the mean has no direction).
    """
    members = (
        contents.join(wanted, on="content_hash", how="left_semi")
        .dropDuplicates(["content_hash"])  # SPUs of equal content have equal members
        .select(F.col("content_hash").alias("pooled_hash"), F.inline("members"))
    )
    vectors = first_vectors(item_vectors, members.select("content_hash").distinct(), ["embedding"])
    # Sums depend on their order in the last bit: sorted, reruns agree.
    by_domain = (
        members.join(vectors, on="content_hash", how="inner")
        .groupBy("pooled_hash", "domain")
        .agg(F.sort_array(F.collect_list(F.struct("content_hash", "embedding"))).alias("sorted"))
        .select("pooled_hash", "domain", mean_vector(F.col("sorted.embedding")).alias("mean"))
    )
    return (
        by_domain.groupBy("pooled_hash")
        .agg(F.sort_array(F.collect_list(F.struct("domain", "mean"))).alias("sorted"))
        .select("pooled_hash", mean_vector(F.col("sorted.mean")).alias("mean"))
        .select(
            F.col("pooled_hash").alias("content_hash"),
            unit_vector(F.col("mean")).alias("embedding"),
        )
    )


def pooled(
    emb_ND: NDArray[np.float32], spu_N: NDArray[np.int64], domain_N: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return one vector an SPU, as ``pooled_vectors`` does, in the order of the SPUs' numbers.

    Args:
        emb_ND: vectors of items; NaN where an item has none.
        spu_N: number of each item's SPU.
        domain_N: number of each item's domain.

    Returns:
        The SPUs' numbers, int64 [S], and their vectors, float32 [S, D], L2 norm 1. SPUs without a
        vector, or whose mean has no direction, are left out.
    """
    has_vector_N = ~np.isnan(emb_ND[:, 0])
    pairs = np.stack((spu_N[has_vector_N], domain_N[has_vector_N]), axis=1)
    groups, group_N = np.unique(pairs, axis=0, return_inverse=True)
    by_domain = _means(emb_ND[has_vector_N].astype(np.float64), group_N.ravel())
    numbers_S, number_N = np.unique(groups[:, 0], return_inverse=True)
    mean_SD = _means(by_domain, number_N)
    norm_S1 = np.linalg.norm(mean_SD, axis=1, keepdims=True)
    directed_S = norm_S1[:, 0] > _MIN_NORM
    unit_SD: NDArray[np.float32] = (mean_SD[directed_S] / norm_S1[directed_S]).astype(np.float32)
    return numbers_S[directed_S], unit_SD


def _means(x_ND: NDArray[np.float64], group_N: NDArray[np.int64]) -> NDArray[np.float64]:
    total = np.zeros((group_N.max(initial=-1) + 1, x_ND.shape[1]))
    np.add.at(total, group_N, x_ND)
    means: NDArray[np.float64] = total / np.bincount(group_N)[:, None]
    return means


def mean_vector(vectors: Column) -> Column:
    """Return the mean of an array of vectors, ARRAY<DOUBLE>."""
    zero = F.lit(0.0)
    return F.transform(
        vectors[0],
        lambda _, i: F.aggregate(vectors, zero, lambda total, v: total + v[i]) / F.size(vectors),
    )


def unit_vector(vector: Column) -> Column:
    """Return a vector of norm 1, ARRAY<FLOAT>; null where it has no direction."""
    norm = F.sqrt(F.aggregate(vector, F.lit(0.0), lambda total, x: total + x * x))
    unit = _let(norm, lambda n: F.transform(vector, lambda x: (x / n).cast("float")))
    return F.when(norm > _MIN_NORM, unit)


def _let(value: Column, body: Callable[[Column], Column]) -> Column:
    """Bind a value: written into the lambda, it would be evaluated for each element."""
    return F.transform(F.array(value), body)[0]
