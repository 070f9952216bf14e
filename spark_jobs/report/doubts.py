"""Doubts: which merges would a person look at first?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby

import numpy as np
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from spark_jobs.engine.nearest_neighbours import cosines
from spark_jobs.report.choices import least_sure, of_each_domain, straying
from spark_jobs.report.facts import FarPair, Key, Member
from spark_jobs.report.lookups import Looks

UNSURE = 8
FAR_PAIRS = 6
# SPUs whose pages are compared pair by pair, and pages of each of them.
_STRAYING, _PAGES = 40, 12


@dataclass(frozen=True)
class UnsureMember:
    """A member that little holds in its SPU, by keys."""

    row: Row

    @property
    def spu_ids(self) -> Iterable[str]:
        return (self.row["spu_id"],)

    @property
    def item_keys(self) -> Iterable[Key]:
        return ((self.row["domain"], self.row["item_id"]),)

    def drawn(self, looks: Looks) -> Member:
        item = looks.item((self.row["domain"], self.row["item_id"]))
        return Member(item, self.row["spu_id"], self.row["assigned_by"], self.row["confidence"])


@dataclass(frozen=True)
class ChosenPair:
    """Two pages of an SPU, by keys."""

    spu_id: str
    left: str
    right: str
    cosine: float

    @property
    def spu_ids(self) -> Iterable[str]:
        return (self.spu_id,)

    @property
    def item_keys(self) -> Iterable[Key]:
        return (("page", self.left), ("page", self.right))

    def drawn(self, looks: Looks) -> FarPair:
        left, right = (looks.item(key) for key in self.item_keys)
        return FarPair(looks.spu(self.spu_id), left, right, self.cosine)


def choose_unsure(members: DataFrame) -> list[UnsureMember]:
    """Choose the members of the lowest confidence."""
    return [UnsureMember(row) for row in least_sure(members, UNSURE).collect()]


def choose_far_pairs(
    members: DataFrame, item_vectors: DataFrame, spu_vectors: DataFrame
) -> list[ChosenPair]:
    """Choose the SPUs of which two pages are farthest apart, each with that pair.

    Only pages: attributes put them together, while a video or a live slice lies where a link says,
    and looks different by nature. Looked for among the SPUs that have a page far from their own
    vector, which is the mean of their items': two pages that are far apart cannot both be near it.

    Args:
        members: spu_id, domain, item_id, assigned_by, confidence.
        item_vectors: domain, item_id, embedding.
        spu_vectors: spu_id, embedding.
    """
    pages = members.filter(F.col("domain") == F.lit("page")).join(
        item_vectors, on=["domain", "item_id"], how="inner"
    )
    pooled = spu_vectors.withColumnRenamed("embedding", "embedding_r")
    pairs = pages.join(pooled, on="spu_id", how="inner").select(
        F.col("spu_id").alias("key"), F.col("embedding").alias("embedding_l"), "embedding_r"
    )
    spu_ids = [row["spu_id"] for row in straying(cosines(pairs), _STRAYING).collect()]
    rows = of_each_domain(pages.filter(F.col("spu_id").isin(spu_ids)), _PAGES).collect()
    return farthest_pairs(rows)[:FAR_PAIRS]


def farthest_pairs(rows: Sequence[Row]) -> list[ChosenPair]:
    """Return the pair of pages of each SPU whose vectors have the lowest cosine, lowest first.

    Args:
        rows: spu_id, item_id, embedding.
    """
    ordered = sorted(rows, key=lambda row: (str(row["spu_id"]), str(row["item_id"])))
    pairs = [
        pair
        for spu_id, of_spu in groupby(ordered, key=lambda row: str(row["spu_id"]))
        if (pair := _farthest(spu_id, list(of_spu))) is not None
    ]
    return sorted(pairs, key=lambda pair: (pair.cosine, pair.spu_id))


def _farthest(spu_id: str, pages: Sequence[Row]) -> ChosenPair | None:
    vectors = {row["item_id"]: np.array(row["embedding"], np.float64) for row in pages}
    found = [
        ChosenPair(spu_id, left, right, round(float(vectors[left] @ vectors[right]), 6))
        for left, right in combinations(vectors, 2)
    ]
    return min(found, key=lambda pair: (pair.cosine, pair.left, pair.right), default=None)
