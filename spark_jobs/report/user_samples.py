"""Samples of users: the last items of a few, and the SPUs that LEARN puts nearest to them.

Their ids stay in the tables: the page is a file that may be passed on, and outlives an erasure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from spark_jobs.contracts import INTERACTIONS, SPU_PREFERENCE_EMBEDDINGS, USER_EMBEDDINGS
from spark_jobs.engine.nearest_neighbours import Hit, nearest
from spark_jobs.report.lookups import Catalogue
from spark_jobs.report.model import Key, Neighbour
from spark_jobs.report.spu_map import hash_order

USERS = 4
_LEAST_EVENTS = 5  # of a user to be shown
_LAST_ITEMS = 5
_NEIGHBOURS = 6


@dataclass(frozen=True)
class Event:
    """The last thing that a user did with an item."""

    item: Key
    action: str
    at: datetime


@dataclass(frozen=True)
class User:
    """A user without a name: last items, and the nearest SPUs by the LEARN vectors."""

    n_events: int
    events: Sequence[Event]
    nearest: Sequence[Neighbour]

    @property
    def spu_ids(self) -> Iterable[str]:
        return [near.spu_id for near in self.nearest]

    @property
    def item_keys(self) -> Iterable[Key]:
        return [event.item for event in self.events]


def choose_users(catalogue: Catalogue) -> list[User]:
    """Return users with some history, and the SPUs nearest to each among all."""
    vectors = catalogue.vectors(USER_EMBEDDINGS, "learn_user", "user_id", "n_events")
    known = vectors.filter(F.col("n_events") >= _LEAST_EVENTS)
    users = known.orderBy(*hash_order("user_id")).limit(USERS).collect()
    if not users:
        return []
    queries_QD = np.array([row["embedding"] for row in users], np.float32)
    spus = catalogue.vectors(SPU_PREFERENCE_EMBEDDINGS, "learn_item", "spu_id")
    found = nearest(spus.withColumnRenamed("spu_id", "key"), queries_QD, _NEIGHBOURS)
    user_ids = [row["user_id"] for row in users]
    events = catalogue.snapshot.log(INTERACTIONS).filter(F.col("user_id").isin(user_ids))
    touched = touched_items(events, catalogue.members).collect()
    return [
        _user(user, [row for row in touched if row["user_id"] == user["user_id"]], hits)
        for user, hits in zip(users, found, strict=True)
    ]


def touched_items(events: DataFrame, members: DataFrame) -> DataFrame:
    """Return each item that a user did something with, once.

    Args:
        events: user_id, domain, item_id, action, occurred_at.
        members: domain, item_id, spu_id.

    Returns:
        user_id, domain, item_id, spu_id (null where the item has no SPU any more), and
        occurred_at and action of the last event.
    """
    last = F.max(F.struct("occurred_at", "action")).alias("last")
    return (
        events.groupBy("user_id", "domain", "item_id")
        .agg(last)
        .join(members.select("domain", "item_id", "spu_id"), on=["domain", "item_id"], how="left")
        .select("user_id", "domain", "item_id", "spu_id", "last.occurred_at", "last.action")
    )


def newest_first(touched: Iterable[Row]) -> list[Row]:
    """Order touched items by time, ties by key."""
    by_key = sorted(touched, key=lambda row: (str(row["domain"]), str(row["item_id"])))
    return sorted(by_key, key=lambda row: row["occurred_at"], reverse=True)


def _user(user: Row, touched: Sequence[Row], hits: Sequence[Hit]) -> User:
    known = {row["spu_id"] for row in touched}
    return User(
        n_events=user["n_events"],
        events=[
            Event((row["domain"], row["item_id"]), row["action"], row["occurred_at"])
            for row in newest_first(touched)[:_LAST_ITEMS]
        ],
        nearest=[Neighbour(hit.key, hit.score, is_known=hit.key in known) for hit in hits],
    )
