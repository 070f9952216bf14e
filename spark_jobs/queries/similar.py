"""Similar: the SPUs nearest to a text, to pictures, to an item, to an SPU or to a user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from spark_jobs.config import Config
from spark_jobs.contracts import SPU_EVENTS
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.engine.nearest_neighbours import Hit, nearest
from spark_jobs.ingest_config import IngestConfig
from spark_jobs.queries.query_items import (
    Vectors,
    item_vectors,
    items_of_scenes,
    usable_pictures,
    usable_text,
)
from spark_jobs.queries.views import Catalog
from spark_jobs.releases.release import Release
from spark_jobs.spu.identity import survivors

_DESCRIPTION = ("title", "brand", "category", "n_items")
_RANKED = (
    "rank int, cosine double, spu_id string, title string, brand string, category string, "
    "n_items int"
)


class NothingServed(LookupError):
    """There is no live release, or no published night, to compare with."""


class NotThere(LookupError):
    """No item, SPU or user of this id has a vector in the live release."""


@dataclass(frozen=True)
class Query:
    """A text and pictures (together one item), or an item of the warehouse, an SPU, or a user.

    Attributes:
        domain: that the text and pictures are encoded as an item of; that of ``item``.
        is_scene: whether a picture may show several products: its parts are looked up too.
    """

    text: str | None = None
    images: Sequence[str] = ()
    domain: str = "page"
    item: str | None = None
    spu: str | None = None
    user: str | None = None
    is_scene: bool = False


@dataclass(frozen=True)
class QueryVectors:
    """The vector of a query; of a scene, those of its parts too.

    Attributes:
        view: of the catalog, whose vectors they are comparable with.
        spu_id: the SPU of the query, which is left out of its own neighbours; None without one.
    """

    vectors_KD: Vectors
    view: str
    spu_id: str | None = None


def similar_spus(catalog: Catalog, config: Config, query: Query, top: int) -> DataFrame:
    """Rank the SPUs of the last published night by cosine with a query, the best of several.

    Returns:
        rank, cosine, spu_id, title, brand, category, n_items; ``top`` rows at most, best first.

    Raises:
        NothingServed, NotThere, UnusableQuery: as ``query_vectors``.
    """
    found = query_vectors(catalog, config, query)
    others = catalog.frame(found.view)
    if found.spu_id is not None:
        others = others.filter(F.col("spu_id") != found.spu_id)
    vectors = others.select(F.col("spu_id").alias("key"), "embedding")
    hits = best_hits(nearest(vectors, found.vectors_KD, top), top)
    is_hit = F.col("spu_id").isin([hit.key for hit in hits])
    described = {
        row["spu_id"]: tuple(row[name] for name in _DESCRIPTION)
        for row in catalog.frame("spus_current")
        .filter(is_hit)
        .select("spu_id", *_DESCRIPTION)
        .collect()
    }
    unknown = (None,) * len(_DESCRIPTION)
    rows = [
        (rank, round(hit.score, 4), hit.key, *described.get(hit.key, unknown))
        for rank, hit in enumerate(hits, start=1)
    ]
    return local_frame(catalog.tables.spark, rows, _RANKED)


def best_hits(hits_of_each: Sequence[Sequence[Hit]], top: int) -> list[Hit]:
    """Return the keys nearest to any of several queries, each once with its best score.

    Args:
        hits_of_each: the ``top`` nearest of each query.
    """
    best: dict[str, float] = {}
    for hit in (hit for hits in hits_of_each for hit in hits):
        best[hit.key] = max(hit.score, best.get(hit.key, hit.score))
    ordered = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))
    return [Hit(key, score) for key, score in ordered[:top]]


def query_vectors(catalog: Catalog, config: Config, query: Query) -> QueryVectors:
    """Return a query's vectors, of the live release.

    Raises:
        NothingServed: there is no live release or no published night.
        NotThere: no such item, SPU or user.
        UnusableQuery: a picture that cannot be read, or a text without a word.
    """
    live = live_release(catalog)
    if query.spu is not None:
        spu_id = _current_spu(catalog, query.spu)
        spu = _stored(catalog, "spu_embeddings_live", {"spu_id": spu_id})
        return QueryVectors(_matrix([spu["embedding"]]), "spu_embeddings_live", spu_id)
    if query.user is not None:
        user = _stored(catalog, "user_embeddings_live", {"user_id": query.user})
        return QueryVectors(_matrix([user["embedding"]]), "spu_preference_embeddings_live")
    if query.item is not None:
        key = {"domain": query.domain, "item_id": query.item}
        item = _stored(catalog, "item_embeddings_live", key)
        vectors = [item["embedding"], *(item["part_embeddings"] or ())]
        return QueryVectors(_matrix(vectors), "spu_embeddings_live")
    return QueryVectors(_of_item(catalog, live, config, query), "spu_embeddings_live")


def check_usable(query: Query, limits: IngestConfig) -> None:
    """Check a query's pictures and text, before anything is started.

    Raises:
        UnusableQuery: a picture that cannot be read, or a text without a word.
    """
    usable_pictures(query.images, limits)
    if query.text is not None:
        usable_text(query.text)


def live_release(catalog: Catalog) -> Release:
    """Return the live release, which has vectors of a published night.

    Raises:
        NothingServed: no release is live, or no night is published.
    """
    live = catalog.live
    if live is None:
        raise NothingServed(
            f"no release in {catalog.tables.warehouse!r} is live, so there are no vectors to "
            "compare with. Train encoders (embedmill train cope, embedmill train learn), then "
            "embedmill release create and promote."
        )
    if catalog.night is None:
        raise NothingServed(
            f"no night in {catalog.tables.warehouse!r} is published, so release {live.name} has no "
            "vectors yet. Run one: embedmill run --config CONFIG.toml --ds YYYY-MM-DD."
        )
    return live


def _of_item(catalog: Catalog, live: Release, config: Config, query: Query) -> Vectors:
    pictures = usable_pictures(query.images, config.ingest)
    text = None if query.text is None else usable_text(query.text)
    if not query.is_scene:
        item = (text, [{"uri": picture.uri, "sha256": picture.sha256} for picture in pictures])
        return item_vectors(catalog, live, config, [item], domain=query.domain)
    with TemporaryDirectory() as folder:
        items = items_of_scenes(pictures, Path(folder), config.ingest)
        return item_vectors(catalog, live, config, items, domain=query.domain)


def _stored(catalog: Catalog, view: str, key: Mapping[str, str]) -> Row:
    """Return the row of a key in a view of vectors."""
    is_it = reduce(and_, (F.col(name) == F.lit(value) for name, value in key.items()))
    rows = catalog.frame(view).filter(is_it).collect()
    if not rows:
        live, (name, value) = live_release(catalog), list(key.items())[-1]
        raise NotThere(
            f"no {key.get('domain', name.removesuffix('_id'))} {value!r} has a vector in release "
            f"{live.name} as of night {catalog.night}. "
            f"To see some: embedmill sql --config CONFIG 'TABLE {view}' --limit 5."
        )
    return rows[0]


def _matrix(vectors: Sequence[Sequence[float]]) -> Vectors:
    return np.asarray(vectors, dtype=np.float32)


def _current_spu(catalog: Catalog, spu_id: str) -> str:
    """Return the SPU that an id resolves to now: the survivor of a merged one."""
    events = catalog.frame(SPU_EVENTS.name).filter(F.col("event") == "merged")
    merges = [(row["spu_id"], row["other_spu_id"]) for row in events.collect()]
    return survivors(merges).get(spu_id, spu_id)
