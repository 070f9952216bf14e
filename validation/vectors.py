"""Vectors: have they collapsed, and have they drifted from the published ones? On samples, on the driver."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import Table
from validation.drift import MIN_VECTORS, Vectors, drift_effects
from validation.figures import Figure
from validation.geometry import effective_rank, mean_cosine, near_identical_share

# Vectors of a table and encoder that come to the driver. At 1,000 the AUC of no drift has a standard deviation of
# .013 and a mean shift of .3 sd is seen for certain; more only costs time.
SAMPLE = 1_000

# Effect size -> the least that counts as drift, whatever chance allows.
# All vectors: under no drift at n = 1,000 the thresholds set by chance are .28, .60 and .004, and replacing 5 % of
# the vectors moves them by .03, .50 and .0002; half of them collapsed gives 1.0, .75 and .1.
POPULATION_FLOORS: Mapping[str, float] = {
    "mean_shift": 0.3,
    "classifier_auc": 0.65,
    "mmd": 0.01,
    "norm_shift": 0.01,
}
# Changed rows did change: only a shift that they have in common counts. .8 sd is "large" in Cohen's words; chance
# allows 1.0, .87 and .04 at n = 50.
CHANGED_FLOORS: Mapping[str, float] = {
    "mean_shift": 0.8,
    "classifier_auc": 0.85,
    "mmd": 0.05,
    "norm_shift": 0.01,
}

NOTHING_PUBLISHED = "no published night to compare with"

_PARTS = 1 << 20


@dataclass(frozen=True)
class Sample:
    """Vectors of one table and encoder; row i of ``changed`` is now what row i of ``previous`` was.

    Attributes:
        contents: content hash of each vector of tonight.
    """

    before: Vectors
    tonight: Vectors
    contents: Sequence[str]
    previous: Vectors
    changed: Vectors


def sample_rows(
    states: tuple[DataFrame, DataFrame],
    changed: DataFrame,
    table: Table,
    *,
    width: int,
    fraction: float,
) -> DataFrame:
    """Take the same share of keys of the vectors before, tonight and changed tonight.

    Args:
        states: the table's state at the start of the night and at its end.
        changed: tonight's staged rows.
        width: numbers a vector has. Those of another width or with NaN are left out: other checks name them.
        fraction: share of keys of the two states. Changed rows are cut at ``SAMPLE`` a table instead.

    Returns:
        table, part (before, tonight or changed), encoder_version, content_hash, embedding, previous.
    """
    keys = list(table.keys)
    before, tonight = states
    sampled = _key_hash(keys) < int(fraction * _PARTS)
    columns = [*keys, "content_hash", "embedding"]
    earlier = before.select(*keys, F.col("embedding").alias("previous"))
    pairs = (
        changed.filter(F.col("is_active") & F.col("embedding").isNotNull())
        .select(*columns)
        .join(earlier, on=keys, how="inner")
        .orderBy(_key_hash(keys), *keys)
        .limit(SAMPLE)
    )
    nothing = F.lit(None).cast("array<float>").alias("previous")
    parts = {
        "before": before.filter(sampled).select(*columns, nothing),
        "tonight": tonight.filter(sampled).select(*columns, nothing),
        "changed": pairs,
    }
    labelled = [
        rows.select(
            F.lit(table.name).alias("table"),
            F.lit(part).alias("part"),
            "encoder_version",
            "content_hash",
            "embedding",
            "previous",
        )
        for part, rows in parts.items()
    ]
    return reduce(DataFrame.unionByName, labelled).filter(_readable("embedding", width))


def to_samples(rows: pd.DataFrame) -> dict[tuple[str, str], Sample]:
    """Sort collected ``sample_rows`` by table and encoder version."""
    samples = {}
    for (table, version), group in rows.groupby(["table", "encoder_version"], sort=True):
        before, tonight, changed = (
            group[group["part"] == part] for part in ("before", "tonight", "changed")
        )
        samples[str(table), str(version)] = Sample(
            before=_stack(before["embedding"]),
            tonight=_stack(tonight["embedding"]),
            contents=list(tonight["content_hash"]),
            previous=_stack(changed["previous"]),
            changed=_stack(changed["embedding"]),
        )
    return samples


def collapse_figures(table: str, version: str, sample: Sample) -> list[Figure]:
    """Return ``mean_cosine``, ``effective_rank`` and ``near_identical`` of the vectors in force tonight."""
    n = len(sample.tonight)
    if n < MIN_VECTORS:
        few = f"{n} vectors; from {MIN_VECTORS} on they are measured"
        return [
            Figure(table, name, None, few, version)
            for name in ("mean_cosine", "effective_rank", "near_identical")
        ]
    cosine, rank = mean_cosine(sample.tonight), effective_rank(sample.tonight)
    identical = near_identical_share(sample.tonight, sample.contents)
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
    """Return the effect sizes of all vectors (``drift_...``) and of the changed ones (``changed_drift_...``)."""
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
        ),
    ]


def _drift(
    of: Figure, vectors: tuple[Vectors, Vectors, Vectors], floors: Mapping[str, float], words: str
) -> list[Figure]:
    old, new, published = vectors
    if len(published) < 2 * MIN_VECTORS or len(old) < MIN_VECTORS or len(new) < MIN_VECTORS:
        why = f"{words}; too few to compare" if len(published) else NOTHING_PUBLISHED
        return [replace(of, name=f"{of.name}_{name}", seen=why) for name in floors]
    return [
        replace(
            of,
            name=f"{of.name}_{effect.name}",
            value=effect.value,
            seen=f"{effect.value:.3f} for {words}",
            threshold=effect.threshold,
        )
        for effect in drift_effects(old, new, published, floors=floors)
    ]


def _key_hash(keys: Sequence[str]) -> Column:
    return F.pmod(F.xxhash64(*[F.col(key) for key in keys]), F.lit(_PARTS))


def _readable(column: str, width: int) -> Column:
    vector = F.col(column)
    numbers = F.forall(vector, lambda x: x.isNotNull() & ~F.isnan(x))
    return vector.isNotNull() & (F.size(vector) == width) & numbers


def _stack(vectors: pd.Series) -> Vectors:
    if vectors.empty:
        return np.empty((0, 0))
    return np.stack(vectors.to_list()).astype(np.float64)
