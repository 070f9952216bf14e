"""Samples of SPUs: cards of a few with their members, and the merges to doubt first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby

import numpy as np
from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from spark_jobs.contracts import DOMAINS, ITEM_EMBEDDINGS
from spark_jobs.engine.nearest_neighbours import Hit, cosines, nearest
from spark_jobs.report.lookups import Catalogue
from spark_jobs.report.model import Key, Neighbour
from spark_jobs.report.spu_map import hash_order

CARDS = 6
_MEMBERS = 4  # of a card, in each domain
_NEIGHBOURS = 5
UNSURE = 8
FAR_PAIRS = 6
# SPUs whose pages are compared pair by pair, and pages of each of them.
_SPUS_COMPARED, _PAGES_COMPARED = 40, 12


@dataclass(frozen=True)
class Member:
    """An item in its SPU."""

    item: Key
    spu_id: str
    assigned_by: str
    confidence: float

    @property
    def spu_ids(self) -> Iterable[str]:
        return (self.spu_id,)

    @property
    def item_keys(self) -> Iterable[Key]:
        return (self.item,)


@dataclass(frozen=True)
class Card:
    """An SPU with its members by domain, and the SPUs nearest to it.

    Attributes:
        members: at most a few of each domain, of the highest confidence first.
        left_out: how many members are not among them.
    """

    spu_id: str
    members: Mapping[str, Sequence[Member]]
    left_out: int
    nearest: Sequence[Neighbour]

    @property
    def spu_ids(self) -> Iterable[str]:
        return (self.spu_id, *(near.spu_id for near in self.nearest))

    @property
    def item_keys(self) -> Iterable[Key]:
        return [member.item for members in self.members.values() for member in members]


@dataclass(frozen=True)
class FarPair:
    """Two pages of one SPU whose COPE vectors are far apart."""

    spu_id: str
    left: Key
    right: Key
    cosine: float

    @property
    def spu_ids(self) -> Iterable[str]:
        return (self.spu_id,)

    @property
    def item_keys(self) -> Iterable[Key]:
        return (self.left, self.right)


def choose_cards(catalogue: Catalogue) -> list[Card]:
    """Return SPUs with members in as many domains, and of as many categories, as there are."""
    chosen = spus_for_cards(catalogue.spus, catalogue.members).limit(CARDS).collect()
    spu_ids = [row["spu_id"] for row in chosen]
    members = catalogue.members.filter(F.col("spu_id").isin(spu_ids))
    shown = surest_members(members, _MEMBERS).collect()
    nearest_to = _neighbours(catalogue.spu_vectors, spu_ids)
    return [
        _card(spu_id, [row for row in shown if row["spu_id"] == spu_id], nearest_to.get(spu_id, []))
        for spu_id in spu_ids
    ]


def choose_unsure(catalogue: Catalogue) -> list[Member]:
    """Return the members of the lowest confidence, lowest first."""
    lowest_first = catalogue.members.orderBy("confidence", "domain", "item_id")
    return [_member(row) for row in lowest_first.limit(UNSURE).collect()]


def choose_far_pairs(catalogue: Catalogue) -> list[FarPair]:
    """Return the SPUs of which two pages are farthest apart, each with that pair.

    Only pages: attributes put them together, while a video or a live slice lies where a link says,
    and looks different by nature. Looked for among the SPUs that have a page far from their own
    vector, which is the mean of their items': two pages that are far apart cannot both be near it.
    """
    vectors = catalogue.vectors(ITEM_EMBEDDINGS, "cope", "domain", "item_id")
    is_page = F.col("domain") == F.lit("page")
    pages = catalogue.members.filter(is_page).join(vectors, on=["domain", "item_id"], how="inner")
    of_spus = catalogue.spu_vectors.withColumnRenamed("embedding", "embedding_r")
    pairs = pages.join(of_spus, on="spu_id", how="inner").select(
        F.col("spu_id").alias("key"), F.col("embedding").alias("embedding_l"), "embedding_r"
    )
    lowest = (
        cosines(pairs).groupBy(F.col("key").alias("spu_id")).agg(F.min("score").alias("lowest"))
    )
    compared = lowest.orderBy("lowest", "spu_id").limit(_SPUS_COMPARED).collect()
    of_compared = pages.filter(F.col("spu_id").isin([row["spu_id"] for row in compared]))
    return farthest_pairs(surest_members(of_compared, _PAGES_COMPARED).collect())[:FAR_PAIRS]


def spus_for_cards(spus: DataFrame, members: DataFrame) -> DataFrame:
    """Order SPUs by the domains of their members; of as many, each category takes a turn.

    Args:
        spus: spu_id, category.
        members: spu_id, domain.

    Returns:
        spu_id, in order.
    """
    domains = members.groupBy("spu_id").agg(F.size(F.collect_set("domain")).alias("n_domains"))
    most_domains_first = F.col("n_domains").desc()
    turn = Window.partitionBy("category").orderBy(most_domains_first, *hash_order("spu_id"))
    return (
        spus.join(domains, on="spu_id", how="inner")
        .withColumn("_turn", F.row_number().over(turn))
        .orderBy(most_domains_first, "_turn", *hash_order("spu_id"))
        .select("spu_id")
    )


def surest_members(members: DataFrame, limit: int) -> DataFrame:
    """Return at most ``limit`` members of each SPU and domain, of the highest confidence first.

    Args:
        members: spu_id, domain, item_id, confidence.

    Returns:
        the same columns and n_members: how many there are of the SPU and domain.
    """
    of_domain = Window.partitionBy("spu_id", "domain")
    surest_first = of_domain.orderBy(F.col("confidence").desc(), "item_id")
    return (
        members.withColumn("_rank", F.row_number().over(surest_first))
        .withColumn("n_members", F.count("*").over(of_domain))
        .filter(F.col("_rank") <= limit)
        .orderBy("spu_id", "domain", "_rank")
        .drop("_rank")
    )


def farthest_pairs(rows: Sequence[Row]) -> list[FarPair]:
    """Return the pair of pages of each SPU whose vectors have the lowest cosine, lowest first.

    Args:
        rows: spu_id, domain, item_id, embedding.
    """
    ordered = sorted(rows, key=lambda row: (str(row["spu_id"]), str(row["item_id"])))
    pairs = [
        pair
        for spu_id, of_spu in groupby(ordered, key=lambda row: str(row["spu_id"]))
        if (pair := _farthest_pair(spu_id, list(of_spu))) is not None
    ]
    return sorted(pairs, key=lambda pair: (pair.cosine, pair.spu_id))


def _farthest_pair(spu_id: str, pages: Sequence[Row]) -> FarPair | None:
    vectors = {_key(row): np.array(row["embedding"], np.float64) for row in pages}
    pairs = [
        FarPair(spu_id, left, right, round(float(vectors[left] @ vectors[right]), 6))
        for left, right in combinations(vectors, 2)
    ]
    return min(pairs, key=lambda pair: (pair.cosine, pair.left, pair.right), default=None)


def _card(spu_id: str, rows: Sequence[Row], hits: Sequence[Hit]) -> Card:
    n_members = {row["domain"]: row["n_members"] for row in rows}
    return Card(
        spu_id=spu_id,
        members={d: [_member(row) for row in rows if row["domain"] == d] for d in DOMAINS},
        left_out=sum(n_members.values()) - len(rows),
        nearest=[Neighbour(hit.key, hit.score) for hit in hits],
    )


def _member(row: Row) -> Member:
    return Member(_key(row), row["spu_id"], row["assigned_by"], row["confidence"])


def _neighbours(vectors: DataFrame, spu_ids: Sequence[str]) -> dict[str, list[Hit]]:
    """Return the SPUs nearest to each that has a vector, without itself."""
    rows = vectors.filter(F.col("spu_id").isin(*spu_ids)).orderBy("spu_id").collect()
    queries_QD = np.array([row["embedding"] for row in rows], np.float32)
    found = nearest(vectors.withColumnRenamed("spu_id", "key"), queries_QD, _NEIGHBOURS + 1)
    return {
        row["spu_id"]: [hit for hit in hits if hit.key != row["spu_id"]][:_NEIGHBOURS]
        for row, hits in zip(rows, found, strict=True)
    }


def _key(row: Row) -> Key:
    return row["domain"], row["item_id"]
