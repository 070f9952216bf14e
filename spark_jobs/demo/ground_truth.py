"""Quality of the demo's SPUs and encoders, by the shop's ground truth instead of the SPUs.

Ranking, metrics and baselines are those of ``spark_jobs/evaluation``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from pyspark.sql import DataFrame
from sklearn.metrics.cluster import pair_confusion_matrix

from encoders.learn.evaluation import compared
from spark_jobs.config import Config
from spark_jobs.contracts import INTERACTIONS, SPU_EVENTS, SPU_MEMBERS
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.evaluation.cope import BACKBONES, held_out_spus, items_to_search, search
from spark_jobs.evaluation.learn import rankers, spu_contents
from spark_jobs.night import Night
from spark_jobs.releases.encoders import encoder_artifact
from spark_jobs.releases.release import Release
from spark_jobs.training.learn_data import cut_at, event_sequences, known_events, user_sequences
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from encoders.cope.evaluation import Retrieved

ITEM_KEY = ["domain", "item_id"]
_EVENT_COLUMNS = ["user_id", *ITEM_KEY, "action", "occurred_at"]
_EVENT_DDL = "user_id string, domain string, item_id string, action string, occurred_at timestamp"
# More than the demo has.
_MAX_USERS = 100_000


@dataclass(frozen=True)
class PairwiseScores:
    """Pairs of items in one SPU against pairs of one product; None where there are no pairs."""

    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class CopeScores:
    """Retrieval by direction, such as ``page>video``, of COPE and of its backbones alone.

    Attributes:
        products: how many are searched: those that COPE was not trained on.
    """

    cope: Mapping[str, "Retrieved"]
    raw: Mapping[str, "Retrieved"]
    products: int


def pairwise_scores(predicted: Sequence[str], truth: Sequence[str]) -> PairwiseScores:
    """Compare a grouping of items with the true one, over all unordered pairs of items.

    Args:
        predicted: the SPU of each item.
        truth: the product of each item, in the same order.
    """
    if len(predicted) != len(truth):
        raise ValueError(f"{len(predicted)} predicted groups, but {len(truth)} true ones.")
    if not truth:
        return PairwiseScores(None, None, None)
    (_, wrong), (missed, right) = pair_confusion_matrix(truth, predicted).tolist()
    return PairwiseScores(
        right / (right + wrong) if right + wrong else None,
        right / (right + missed) if right + missed else None,
        2 * right / (2 * right + wrong + missed) if right + wrong + missed else None,
    )


def spu_scores(tables: Tables, shop: Path) -> dict[str, PairwiseScores]:
    """Compare the published SPUs with the products: of pages alone, and of items of all domains."""
    members = tables.current(SPU_MEMBERS).select(*ITEM_KEY, "spu_id").toPandas()
    judged = members.merge(_true_products(shop), on=ITEM_KEY, how="inner")
    pages = judged[judged["domain"] == "page"]
    return {
        "pages": pairwise_scores(list(pages["spu_id"]), list(pages["product_id"])),
        "all domains": pairwise_scores(list(judged["spu_id"]), list(judged["product_id"])),
    }


def cope_scores(tables: Tables, shop: Path, release: Release, night: Night) -> CopeScores:
    """Search across domains among products none of whose SPUs was used in training.

    Args:
        night: published; its items are searched.
    """
    encoders = {"COPE": encoder_artifact(tables.warehouse, "cope", release.encoders["cope"])}
    members = tables.current(SPU_MEMBERS, [*ITEM_KEY, "spu_id"])
    held_out = held_out_spus(members, tables.read(SPU_EVENTS), encoders)
    used = members.join(held_out, on="spu_id", how="left_anti").select(*ITEM_KEY).toPandas()
    products = _true_products(shop)
    trained = set(products.merge(used, on=ITEM_KEY, how="inner")["product_id"])
    unseen = products[~products["product_id"].isin(trained)]
    rows = list(unseen.itertuples(index=False, name=None))
    groups = local_frame(tables.spark, rows, "domain string, item_id string, spu_id string")
    data = items_to_search(Snapshot(tables, night, "published"), groups, encoders)
    found = search(encoders, data)
    (items,) = data.values()
    return CopeScores(found["COPE"], found[BACKBONES], len(items.spu_ids))


def learn_scores(
    tables: Tables, shop: Path, release: Release, config: Config, *, nights: Sequence[Night]
) -> dict[str, dict[str, float]]:
    """Rank SPUs for users by their history up to the first night; later events are the targets.

    The events of later nights are read from the feeds: the last of them was never published.

    Returns:
        ``learn`` and each untrained rule -> metric -> mean over users.
    """
    first, *later = nights
    version = release.encoders["learn_user"]
    encoders = {"learn": encoder_artifact(tables.warehouse, "learn_user", version)}
    published = Snapshot(tables, first, "published")
    spu_ids, contents = spu_contents(published, config, encoders)
    events = known_events(
        _events(tables, shop, first, later),
        published.state(SPU_MEMBERS, [*ITEM_KEY, "spu_id"]),
        end=later[-1].end,
    )
    near = event_sequences(events, cut=first.end, max_users=_MAX_USERS)
    sequences = user_sequences(near.toArrow(), spu_ids)
    parts = cut_at(sequences, first.end)
    return compared(rankers(encoders, spu_ids, contents, sequences, parts), parts.cases)


def _events(tables: Tables, shop: Path, first: Night, later: Sequence[Night]) -> DataFrame:
    published = Snapshot(tables, first, "published").log(INTERACTIONS)
    fed = pd.concat([_feed_events(shop, night) for night in later])
    fed["occurred_at"] = pd.to_datetime(fed["occurred_at"], utc=True, format="mixed")
    rows = list(fed.itertuples(index=False, name=None))
    return published.select(_EVENT_COLUMNS).unionByName(local_frame(tables.spark, rows, _EVENT_DDL))


def _feed_events(shop: Path, night: Night) -> pd.DataFrame:
    file = shop / "feeds" / str(night) / "interactions.jsonl"
    return pd.read_json(file, lines=True, dtype=False, convert_dates=False)[_EVENT_COLUMNS]


def _true_products(shop: Path) -> pd.DataFrame:
    items = pd.read_json(shop / "truth" / "items.jsonl", lines=True, dtype=False)
    return items[[*ITEM_KEY, "product_id"]]
