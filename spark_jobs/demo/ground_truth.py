"""Measurement: the warehouse of the demo, held against the shop's ground truth."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pyspark.sql import functions as F

from encoders.cope.sampling import split_of
from encoders.settings import CopeConfig
from spark_jobs.contracts import (
    INTERACTIONS,
    ITEM_EMBEDDINGS,
    ITEM_FEATURES,
    ITEMS,
    SPU_MEMBERS,
    SPU_PREFERENCE_EMBEDDINGS,
    USER_EMBEDDINGS,
    Table,
)
from spark_jobs.demo.evaluation import (
    Items,
    Matrix,
    NextInteractions,
    PairwiseScores,
    Retrieval,
    Vectors,
    cross_domain_retrieval,
    next_interactions,
    pairwise_scores,
    raw_vectors,
)
from spark_jobs.night import Night
from spark_jobs.releases.release import Release
from spark_jobs.warehouse.tables import Tables

ITEM_KEY = ["domain", "item_id"]
Directions = Mapping[tuple[str, str], Retrieval]


@dataclass(frozen=True)
class CopeScores:
    """Retrieval among products that COPE was not trained on, beside the untrained backbones."""

    cope: Directions
    raw: Directions
    products: int


def spu_scores(tables: Tables, shop: Path) -> dict[str, PairwiseScores]:
    """Compare the published SPUs with the products: of pages alone, and of items of all domains."""
    members = tables.current(SPU_MEMBERS).select(*ITEM_KEY, "spu_id").toPandas()
    judged = members.merge(_true_products(shop), on=ITEM_KEY, how="inner")
    pages = judged[judged["domain"] == "page"]
    return {
        "pages": pairwise_scores(list(pages["spu_id"]), list(pages["product_id"])),
        "all domains": pairwise_scores(list(judged["spu_id"]), list(judged["product_id"])),
    }


def cope_scores(tables: Tables, shop: Path, release: Release, config: CopeConfig) -> CopeScores:
    """Search across domains among products none of whose SPUs were used in training."""
    content = tables.current(ITEMS).select(*ITEM_KEY, "content_hash")
    features = tables.read(ITEM_FEATURES).select("content_hash", "image_features", "text_features")
    vectors = tables.current(ITEM_EMBEDDINGS).filter(
        F.col("encoder_version") == release.encoders["cope"]
    )
    members = tables.current(SPU_MEMBERS).select(*ITEM_KEY, "spu_id")
    rows = (
        vectors.select(*ITEM_KEY, "embedding")
        .join(content, on=ITEM_KEY, how="inner")
        .join(features, on="content_hash", how="inner")
        .join(members, on=ITEM_KEY, how="left")
        .orderBy(*ITEM_KEY)
        .toPandas()
        .merge(_true_products(shop), on=ITEM_KEY, how="inner")
    )
    held_out, seed = config.held_out, config.split_seed
    was_used = [
        spu is not None and split_of(spu, held_out=held_out, seed=seed) != "test"
        for spu in rows["spu_id"]
    ]
    trained = set(rows.loc[was_used, "product_id"])
    unseen = sorted(set(rows["product_id"]) - trained)
    domains, products = (rows[name].to_numpy(dtype=str) for name in ("domain", "product_id"))
    raw = raw_vectors(_matrix(rows["image_features"]), _matrix(rows["text_features"]), domains)
    return CopeScores(
        cross_domain_retrieval(
            Items(domains, products, _matrix(rows["embedding"])), products=unseen
        ),
        cross_domain_retrieval(Items(domains, products, raw), products=unseen),
        len(unseen),
    )


def learn_scores(
    tables: Tables, shop: Path, release: Release, *, trained: Night, later: list[Night]
) -> NextInteractions:
    """Rank SPUs for users by the vectors of night ``trained``; what they did ``later`` is sought.

    The events of later nights are read from the feeds: the last of them was never published.
    """
    members = tables.before(SPU_MEMBERS, later[0]).select(*ITEM_KEY, "spu_id").toPandas()
    known = tables.read(INTERACTIONS).filter(F.col("ds") <= F.lit(trained.ds))
    events = pd.concat(
        [
            known.select("user_id", *ITEM_KEY, "occurred_at").toPandas(),
            *(_feed_events(shop, night) for night in later),
        ]
    )
    events["occurred_at"] = pd.to_datetime(events["occurred_at"], utc=True, format="mixed")
    texts = tables.read(ITEM_FEATURES).select("content_hash", "text_features")
    content = tables.before(ITEMS, later[0]).select(*ITEM_KEY, "content_hash")
    item_texts = (
        content.join(texts, on="content_hash", how="inner")
        .filter("text_features IS NOT NULL")
        .toPandas()
        .merge(members, on=ITEM_KEY, how="inner")
    )
    pooled = item_texts.groupby("spu_id")["text_features"].apply(lambda v: np.mean(list(v), axis=0))
    return next_interactions(
        events.merge(members, on=ITEM_KEY, how="inner")[["user_id", "spu_id", "occurred_at"]],
        pd.Timestamp(trained.end),
        users=_vectors(tables, USER_EMBEDDINGS, release.encoders["learn_user"], later[0]),
        spus=_vectors(tables, SPU_PREFERENCE_EMBEDDINGS, release.encoders["learn_item"], later[0]),
        texts=Vectors(list(pooled.index), _matrix(pooled)),
        masked=False,
    )


def _vectors(tables: Tables, table: Table, version: str, before: Night) -> Vectors:
    key = table.keys[0]
    rows = (
        tables.before(table, before)
        .filter(F.col("encoder_version") == version)
        .select(key, "embedding")
        .orderBy(key)
        .toPandas()
    )
    return Vectors(list(rows[key]), _matrix(rows["embedding"]))


def _feed_events(shop: Path, night: Night) -> pd.DataFrame:
    file = shop / "feeds" / str(night) / "interactions.jsonl"
    return pd.read_json(file, lines=True, dtype=False, convert_dates=False)[
        ["user_id", *ITEM_KEY, "occurred_at"]
    ]


def _true_products(shop: Path) -> pd.DataFrame:
    items = pd.read_json(shop / "truth" / "items.jsonl", lines=True, dtype=False)
    return items[[*ITEM_KEY, "product_id"]]


def _matrix(vectors: Iterable[Sequence[float] | None]) -> Matrix:
    """Stack vectors; a missing one becomes a row of NaN."""
    rows = list(vectors)
    width = next(len(row) for row in rows if row is not None)
    nothing = [float("nan")] * width
    return np.asarray([nothing if row is None else row for row in rows], dtype=np.float32)
