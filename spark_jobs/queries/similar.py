"""Similar: the SPUs nearest to a text, to pictures, to an SPU or to a user."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.config import Config
from spark_jobs.contracts import COPE_FEATURES, SPU_EVENTS
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.engine.nearest_neighbours import nearest
from spark_jobs.ingest.media.folders import MediaFolders
from spark_jobs.ingest.media.item_media import MediaReader
from spark_jobs.ingest.media.pictures import FORMATS, Picture
from spark_jobs.ingest.row_checks import CONTROL_IN_TEXT
from spark_jobs.ingest_config import IngestConfig
from spark_jobs.queries.views import Catalog
from spark_jobs.releases.release import Release
from spark_jobs.spu.identity import survivors
from spark_jobs.warehouse.encoder_store import encoder_info

Vector = NDArray[np.float32]

_DESCRIPTION = ("title", "brand", "category", "n_items")
_RANKED = (
    "rank int, cosine double, spu_id string, title string, brand string, category string, "
    "n_items int"
)


class NothingServed(LookupError):
    """There is no live release, or no published night, to compare with."""


class NotThere(LookupError):
    """No SPU or user of this id has a vector in the live release."""


class UnusableQuery(ValueError):
    """A text or a picture that no vector can be made of."""


@dataclass(frozen=True)
class Query:
    """A text and pictures (together one item), or an SPU, or a user.

    Attributes:
        domain: that the text and pictures are encoded as an item of.
    """

    text: str | None = None
    images: Sequence[str] = ()
    domain: str = "page"
    spu: str | None = None
    user: str | None = None


@dataclass(frozen=True)
class QueryVector:
    """The vector of a query.

    Attributes:
        view: of the catalog, whose vectors it is comparable with.
        spu_id: the SPU of the query, which is left out of its own neighbours; None without one.
    """

    vector: Vector
    view: str
    spu_id: str | None = None


def similar_spus(catalog: Catalog, config: Config, query: Query, top: int) -> DataFrame:
    """Rank the SPUs of the last published night by cosine with a query.

    Returns:
        rank, cosine, spu_id, title, brand, category, n_items; ``top`` rows at most, best first.

    Raises:
        NothingServed, NotThere, UnusableQuery: as ``query_vector``.
    """
    found = query_vector(catalog, config, query)
    others = catalog.frame(found.view)
    if found.spu_id is not None:
        others = others.filter(F.col("spu_id") != found.spu_id)
    vectors = others.select(F.col("spu_id").alias("key"), "embedding")
    (hits,) = nearest(vectors, found.vector[None], top)
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


def query_vector(catalog: Catalog, config: Config, query: Query) -> QueryVector:
    """Return a query's vector, of the live release.

    Raises:
        NothingServed: there is no live release or no published night.
        NotThere: no such SPU or user.
        UnusableQuery: a picture that cannot be read, or a text without a word.
    """
    live = live_release(catalog)
    if query.spu is not None:
        spu_id = _current_spu(catalog, query.spu)
        vector = _stored(catalog, "spu_embeddings_live", "spu_id", spu_id)
        return QueryVector(vector, "spu_embeddings_live", spu_id)
    if query.user is not None:
        vector = _stored(catalog, "user_embeddings_live", "user_id", query.user)
        return QueryVector(vector, "spu_preference_embeddings_live")
    return QueryVector(item_vector(catalog, live, config, query), "spu_embeddings_live")


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


def item_vector(catalog: Catalog, live: Release, config: Config, query: Query) -> Vector:
    """Encode a text and pictures by COPE, in this process, as a night encodes an item.

    Raises:
        UnusableQuery: nothing of it, or not all of it, can be read.
    """
    from encoders.loading import load_encoder

    pictures = usable_pictures(query.images, config.ingest)
    text = None if query.text is None else usable_text(query.text)
    hardware = {"device": config.encoding.device, "precision": config.encoding.precision}
    version = live.encoders["cope"]
    backbones = encoder_info(catalog.tables, version).reads[COPE_FEATURES.name]
    images = [{"uri": picture.uri, "sha256": picture.sha256} for picture in pictures]
    features = load_encoder(catalog.tables.layout.encoder(backbones), **hardware).encode(
        {"domain": [query.domain], "title": [text], "text": [None], "images": [images]}
    )
    if features.problems:
        problems = "; ".join(f"{found.detail} ({found.reason})" for found in features.problems)
        raise UnusableQuery(f"a picture cannot be used: {problems}. Give another file.")
    heads = load_encoder(catalog.tables.layout.encoder(version), **hardware)
    inputs = {name: list(vectors) for name, vectors in features.vectors.items()}
    vectors_1D = heads.encode({"domain": [query.domain], **inputs}).vectors["embedding"]
    vector: Vector = vectors_1D[0]
    return vector


def usable_pictures(files: Sequence[str], limits: IngestConfig) -> list[Picture]:
    """Read pictures within the limits that ingest has.

    Raises:
        UnusableQuery: naming every file that cannot be used, and why.
    """
    # A feed's pictures lie in its folder; these files may lie anywhere.
    places = [Path(file).resolve() for file in files]
    refused = []
    pictures: list[Picture] = []
    for file, place in zip(files, places, strict=True):
        media = MediaFolders(None, str(place.parent))
        read, problems = MediaReader(limits).read(media, [place.name])
        pictures += read
        refused += [f"{file!r}: {problem.detail} ({problem.reason})" for problem in problems]
    most = limits.max_images
    if len(files) > most:
        refused.append(f"{len(files)} files, but an item has at most {most} pictures")
    elif len(pictures) > most:
        refused.append(f"{len(pictures)} pictures and frames, but an item has at most {most}")
    if refused:
        raise UnusableQuery(
            f"--image cannot be used: {'; '.join(refused)}. Give {', '.join(FORMATS)} files of at "
            f"most {limits.max_image_bytes:,} bytes and {limits.max_image_pixels:,} pixels "
            "(ingest.max_image_bytes, ingest.max_image_pixels)."
        )
    return pictures


def usable_text(text: str) -> str:
    """Return a text that could be an item's title.

    Raises:
        UnusableQuery: it is blank, or has control characters.
    """
    if not text.strip():
        raise UnusableQuery("--text is empty. Give words, such as --text 'red running shoes'.")
    if re.search(CONTROL_IN_TEXT, text):
        raise UnusableQuery(f"--text has control characters: {text[:80]!r}. Leave them out.")
    return text


def _stored(catalog: Catalog, view: str, key: str, value: str) -> Vector:
    rows = catalog.frame(view).filter(F.col(key) == F.lit(value)).select("embedding").collect()
    if not rows:
        live, noun = live_release(catalog), key.removesuffix("_id")
        raise NotThere(
            f"no {noun} {value!r} has a vector in release {live.name} as of night {catalog.night}. "
            f"To see some: embedmill sql --config CONFIG 'TABLE {view}' --limit 5."
        )
    return np.asarray(rows[0]["embedding"], dtype=np.float32)


def _current_spu(catalog: Catalog, spu_id: str) -> str:
    """Return the SPU that an id resolves to now: the survivor of a merged one."""
    events = catalog.frame(SPU_EVENTS.name).filter(F.col("event") == "merged")
    merges = [(row["spu_id"], row["other_spu_id"]) for row in events.collect()]
    return survivors(merges).get(spu_id, spu_id)
