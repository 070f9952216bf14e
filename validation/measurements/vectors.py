"""Samples of vectors on the driver, and the figures of their collapse and drift."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import Table
from spark_jobs.night import Night
from validation.measurements.drift import (
    MIN_VECTORS,
    Vectors,
    drift_effects,
    effective_rank,
    mean_cosine,
    near_identical_share,
)
from validation.measurements.figures import NOTHING_PUBLISHED, Figure

# Keys of a table whose vectors come to the driver: 2 MB each time. Where 1 % changes, 40 of them
# did.
SAMPLED_KEYS = 4_000
# Vectors that are compared. At 1,000 the AUC of no drift has a standard deviation of .013, and a
# mean shift of .3 sd is always seen; more only costs time.
COMPARED = 1_000

# Effect size -> the least that counts as drift, whatever chance allows. All vectors: under no drift
# at n = 1,000 the thresholds set by chance are .28, .60 and .004, and replacing 5 % of the vectors
# moves them by .03, .50 and .0002; half of them collapsed gives 1.0, .75 and .1.
POPULATION_FLOORS: Mapping[str, float] = {
    "mean_shift": 0.3,
    "classifier_auc": 0.65,
    "mmd": 0.01,
    "norm_shift": 0.01,
}
# Changed rows did change: only a shift that they have in common counts. .8 sd is "large" in Cohen's
# words; chance allows 1.0, .87 and .04 at n = 50.
CHANGED_FLOORS: Mapping[str, float] = {
    "mean_shift": 0.8,
    "classifier_auc": 0.85,
    "mmd": 0.05,
    "norm_shift": 0.01,
}
# Of the published vectors, the least share of changed ones that is compared. Those of a few items
# have a shift in common whenever a merchant renames a line: of 4,384 products of Online Retail II,
# 25 titles changed in July 2011, most of them from SPOTTY to RETROSPOT or POLKADOT (AUC .86).
LEAST_CHANGED = 0.02

_EFFECT_LABELS: Mapping[str, str] = {
    "mean_shift": "standard deviations that the mean moved:",
    "classifier_auc": "AUC of a classifier that tells new from old:",
    "mmd": "squared mean discrepancy:",
    "norm_shift": "L2 norms moved by",
}

_PARTS = 1 << 20


@dataclass(frozen=True)
class Sample:
    """Vectors of one table and encoder, of the same keys on both nights.

    Attributes:
        before: those that are active at the start of the night; ``tonight``: at its end. Keys that
            are in both come first, in one order.
        contents: content hash of each vector of ``tonight``.
        previous: row i is what row i of ``changed`` was until tonight.
    """

    before: Vectors
    tonight: Vectors
    contents: Sequence[str]
    previous: Vectors
    changed: Vectors


def sampled_log(
    log: DataFrame, table: Table, night: Night, *, width: Column, fraction: float
) -> DataFrame:
    """Take all rows of a share of the keys, the same keys every night.

    Args:
        log: the change log.
        width: numbers a vector of the row's encoder has. Vectors of another width or with NaN
            become null: row checks report them.
        fraction: share of the keys.

    Returns:
        table, encoder_version, key, at, earlier: whether the row is of a night before,
        content_hash, embedding.
    """
    keys = [key for key in table.keys if key != "encoder_version"]
    sampled = F.pmod(F.xxhash64(*keys), F.lit(_PARTS)) < int(fraction * _PARTS)
    return log.filter(sampled).select(
        F.lit(table.name).alias("table"),
        "encoder_version",
        F.concat_ws("|", *keys).alias("key"),
        F.col("event_timestamp").alias("at"),
        (F.col("ds") < F.lit(night.ds)).alias("earlier"),
        "content_hash",
        F.when(F.col("is_active") & _readable("embedding", width), F.col("embedding")).alias(
            "embedding"
        ),
    )


def to_samples(rows: pd.DataFrame) -> dict[tuple[str, str], Sample]:
    """Fold collected ``sampled_log`` rows by table and encoder version."""
    return {
        (str(table), str(version)): _sample(of_encoder.sort_values(["key", "at"]))
        for (table, version), of_encoder in rows.groupby(["table", "encoder_version"], sort=True)
    }


def _sample(log: pd.DataFrame) -> Sample:
    earlier, now = log[log["earlier"]], log[~log["earlier"]]
    before = earlier.drop_duplicates("key", keep="last").dropna(subset="embedding")
    tonight = log.drop_duplicates("key", keep="last").dropna(subset="embedding")
    before, tonight = _shared_first(before, tonight), _shared_first(tonight, before)
    pairs = before.merge(now.dropna(subset="embedding"), on="key", suffixes=("_l", "_r"))
    return Sample(
        before=_stack(before["embedding"]),
        tonight=_stack(tonight["embedding"]),
        contents=list(tonight["content_hash"]),
        previous=_stack(pairs["embedding_l"]),
        changed=_stack(pairs["embedding_r"]),
    )


def _shared_first(rows: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Put the keys that both have first, in order, so that rows of one position are of one key."""
    is_shared = rows["key"].isin(others["key"])
    return pd.concat([rows[is_shared], rows[~is_shared]])


def collapse_figures(table: str, version: str, sample: Sample) -> list[Figure]:
    """Return ``mean_cosine``, ``effective_rank`` and ``near_identical`` of tonight's vectors."""
    n = len(sample.tonight)
    if n < MIN_VECTORS:
        few = f"{n} vectors; from {MIN_VECTORS} on they are measured"
        return [
            Figure(table, name, None, few, version)
            for name in ("mean_cosine", "effective_rank", "near_identical")
        ]
    cosine, rank = mean_cosine(sample.tonight), effective_rank(sample.tonight)
    step = math.ceil(n / COMPARED)
    identical = near_identical_share(sample.tonight[::step], sample.contents[::step])
    width = sample.tonight.shape[1]
    measured = {
        "mean_cosine": (cosine, f"{cosine:.3f} over {n:,} vectors"),
        "effective_rank": (rank, f"{rank:.1f} of {width} directions in use by {n:,} vectors"),
        "near_identical": (
            identical,
            f"{identical:.1%} of {n:,} vectors point where one of another content does",
        ),
    }
    return [Figure(table, name, value, seen, version) for name, (value, seen) in measured.items()]


def drift_figures(table: str, version: str, sample: Sample) -> list[Figure]:
    """Return the effect sizes of all vectors and, as ``changed_...``, of the changed ones."""
    return [
        *_drift(
            Figure(table, "drift", None, "", version),
            (sample.before, sample.tonight, sample.before),
            POPULATION_FLOORS,
            f"{len(sample.tonight):,} vectors against the {len(sample.before):,} published last",
        ),
        *_drift(
            Figure(table, "changed_drift", None, "", version),
            (sample.previous, sample.changed, sample.before),
            CHANGED_FLOORS,
            f"{len(sample.changed):,} changed vectors against their last ones",
            least=math.ceil(LEAST_CHANGED * len(sample.before)),
        ),
    ]


def _drift(
    prefix: Figure,
    vectors: tuple[Vectors, Vectors, Vectors],
    floors: Mapping[str, float],
    compared: str,
    *,
    least: int = 0,
) -> list[Figure]:
    """Return a figure an effect, named and labelled after ``prefix``.

    Args:
        vectors: old, new and published.
        compared: how many vectors are compared with how many.
        least: fewer old or new vectors are not compared, nor are fewer than ``MIN_VECTORS``.
    """
    old, new, published = vectors
    least = max(least, MIN_VECTORS)
    if len(published) < 2 * MIN_VECTORS or min(len(old), len(new)) < least:
        why = f"{compared}; too few to compare" if len(published) else NOTHING_PUBLISHED
        return [replace(prefix, measure=f"{prefix.measure}_{name}", seen=why) for name in floors]
    step = math.ceil(max(len(old), len(new)) / COMPARED)
    return [
        replace(
            prefix,
            measure=f"{prefix.measure}_{effect.name}",
            value=effect.value,
            seen=f"{_EFFECT_LABELS[effect.name]} {effect.value:.3f} for {compared}",
            at_most=effect.threshold,
        )
        for effect in drift_effects(old[::step], new[::step], published[::step], floors=floors)
    ]


def _readable(column: str, width: Column) -> Column:
    vector = F.col(column)
    numbers = F.forall(vector, lambda x: x.isNotNull() & ~F.isnan(x))
    return vector.isNotNull() & (F.size(vector) == width) & numbers


def _stack(vectors: pd.Series) -> Vectors:
    if vectors.empty:
        return np.empty((0, 0))
    return np.stack(vectors.to_list()).astype(np.float64)
