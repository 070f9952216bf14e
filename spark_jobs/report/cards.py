"""Cards: a few SPUs with their items in all domains, and the SPUs nearest to them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from spark_jobs.contracts import DOMAINS
from spark_jobs.engine.nearest_neighbours import Hit, nearest
from spark_jobs.report.catalogue import Catalogue
from spark_jobs.report.choices import for_cards, of_each_domain
from spark_jobs.report.facts import Card, Key, Member, Near
from spark_jobs.report.lookups import Looks

CARDS = 6
_OF_DOMAIN = 4
_NEIGHBOURS = 5


@dataclass(frozen=True)
class ChosenCard:
    """A card by keys."""

    spu_id: str
    members: Sequence[Row]
    hits: Sequence[Hit]

    @property
    def spu_ids(self) -> Iterable[str]:
        return (self.spu_id, *(hit.key for hit in self.hits))

    @property
    def item_keys(self) -> Iterable[Key]:
        return ((row["domain"], row["item_id"]) for row in self.members)

    def drawn(self, looks: Looks) -> Card:
        members = [
            Member(
                looks.item((row["domain"], row["item_id"])),
                self.spu_id,
                row["assigned_by"],
                row["confidence"],
            )
            for row in self.members
        ]
        there = {row["domain"]: row["n_members"] for row in self.members}
        return Card(
            spu=looks.spu(self.spu_id),
            members={d: [m for m in members if m.item.domain == d] for d in DOMAINS},
            left_out=sum(there.values()) - len(members),
            nearest=[Near(looks.spu(hit.key), hit.score) for hit in self.hits],
        )


def choose_cards(catalogue: Catalogue, vectors: DataFrame | None) -> list[ChosenCard]:
    """Choose the cards of a night.

    Args:
        vectors: spu_id, embedding: COPE's, or None where there are none.
    """
    members = catalogue.members
    chosen = for_cards(catalogue.spus, members.select("spu_id", "domain"), CARDS).collect()
    spu_ids = [row["spu_id"] for row in chosen]
    shown = of_each_domain(members.filter(F.col("spu_id").isin(spu_ids)), _OF_DOMAIN).collect()
    hits = {} if vectors is None else _neighbours(vectors, spu_ids)
    return [
        ChosenCard(spu_id, [row for row in shown if row["spu_id"] == spu_id], hits.get(spu_id, []))
        for spu_id in spu_ids
    ]


def _neighbours(vectors: DataFrame, spu_ids: Sequence[str]) -> dict[str, list[Hit]]:
    queries = vectors.filter(F.col("spu_id").isin(*spu_ids)).orderBy("spu_id").collect()
    if not queries:
        return {}
    queries_QD = np.array([row["embedding"] for row in queries], np.float32)
    keyed = vectors.withColumnRenamed("spu_id", "key")
    # An SPU is its own nearest.
    found = nearest(keyed, queries_QD, _NEIGHBOURS + 1)
    return {
        row["spu_id"]: [hit for hit in hits if hit.key != row["spu_id"]][:_NEIGHBOURS]
        for row, hits in zip(queries, found, strict=True)
    }
