"""Users: a few users' last items, and the SPUs that LEARN puts nearest to them.

Their ids stay in the tables: the page is a file that may be passed on, and outlives an erasure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from spark_jobs.engine.nearest_neighbours import Hit, nearest
from spark_jobs.report.choices import some_users
from spark_jobs.report.facts import Event, Key, Near, UserLook
from spark_jobs.report.lookups import Looks

USERS = 4
_LEAST_EVENTS = 5
_LAST = 5
_NEAREST = 6


@dataclass(frozen=True)
class ChosenUser:
    """A user by keys.

    Attributes:
        met: SPUs of which the user ever touched an item.
    """

    n_events: int
    last: Sequence[Row]
    met: frozenset[str]
    hits: Sequence[Hit]

    @property
    def spu_ids(self) -> Iterable[str]:
        return (hit.key for hit in self.hits)

    @property
    def item_keys(self) -> Iterable[Key]:
        return ((row["domain"], row["item_id"]) for row in self.last)

    def drawn(self, looks: Looks) -> UserLook:
        return UserLook(
            self.n_events,
            [
                Event(looks.item((r["domain"], r["item_id"])), r["action"], r["occurred_at"])
                for r in self.last
            ],
            [Near(looks.spu(h.key), h.score, met=h.key in self.met) for h in self.hits],
        )


def choose_users(
    user_vectors: DataFrame, spu_vectors: DataFrame, events: DataFrame, members: DataFrame
) -> list[ChosenUser]:
    """Choose users, and find the SPUs nearest to each among all.

    Args:
        user_vectors: user_id, n_events, embedding.
        spu_vectors: spu_id, embedding, in the same space.
        events: user_id, domain, item_id, action, occurred_at.
        members: spu_id, domain, item_id.
    """
    users = some_users(user_vectors, _LEAST_EVENTS, USERS).collect()
    if not users:
        return []
    queries_QD = np.array([row["embedding"] for row in users], np.float32)
    hits = nearest(spu_vectors.withColumnRenamed("spu_id", "key"), queries_QD, _NEAREST)
    own = events.filter(F.col("user_id").isin([row["user_id"] for row in users]))
    touched = touched_items(own, members).collect()
    return [
        _chosen(user, [row for row in touched if row["user_id"] == user["user_id"]], of_user)
        for user, of_user in zip(users, hits, strict=True)
    ]


def touched_items(events: DataFrame, members: DataFrame) -> DataFrame:
    """Return each item that a user touched once: user_id, domain, item_id, occurred_at, action,
    spu_id.

    Returns:
        the last event with the item; spu_id is null where the item has no SPU any more.
    """
    last = F.max(F.struct("occurred_at", "action")).alias("last")
    return (
        events.groupBy("user_id", "domain", "item_id")
        .agg(last)
        .join(members.select("domain", "item_id", "spu_id"), on=["domain", "item_id"], how="left")
        .select("user_id", "domain", "item_id", "last.occurred_at", "last.action", "spu_id")
    )


def _chosen(user: Row, touched: Sequence[Row], hits: Sequence[Hit]) -> ChosenUser:
    return ChosenUser(
        n_events=user["n_events"],
        last=newest_first(touched)[:_LAST],
        met=frozenset(row["spu_id"] for row in touched if row["spu_id"] is not None),
        hits=hits,
    )


def newest_first(touched: Iterable[Row]) -> list[Row]:
    """Put what a user touched in order, ties broken by key."""
    by_key = sorted(touched, key=lambda row: (str(row["domain"]), str(row["item_id"])))
    return sorted(by_key, key=lambda row: row["occurred_at"], reverse=True)
