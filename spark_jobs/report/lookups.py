"""Lookups: the tables that samples are chosen from, and records and pictures of those chosen."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO

from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from encoders.cope.preprocessing import BadPicture, Limits, read_picture
from spark_jobs.contracts import (
    ITEMS,
    SPU_EMBEDDINGS,
    SPU_MEMBERS,
    SPUS,
    USER_EMBEDDINGS,
    Table,
)
from spark_jobs.engine.cached_frames import cached
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.report.model import NO_PICTURE, Item, Key, Picture, Records, Sample, to_spu
from spark_jobs.warehouse.snapshot import Snapshot

THUMBNAIL_SIDE = 112  # pixels
_QUALITY = 62
_NOT_SHOWN = {
    "image_missing": "the picture is no longer where it was",
    "image_changed": "the picture's bytes have changed since it was read",
    "image_too_large": "the picture is too large to be shown",
    "image_corrupt": "the picture cannot be decoded",
}
_SPU = ("spu_id", "title", "brand", "category", "n_items")
_MEMBER = ("spu_id", "domain", "item_id", "assigned_by", "confidence")
_ITEM = ("domain", "item_id", "title", "source")
# Domains by how well a picture shows the product: a page's are of the product alone.
_CLEAREST_FIRST = ("page", "video", "live")


@dataclass(frozen=True)
class Catalogue:
    """Active rows at the end of the night, read once for several kinds of samples.

    Attributes:
        encoders: kind -> version of the live release; empty where none is live.
        spus: spu_id, title, brand, category, n_items.
        members: spu_id, domain, item_id, assigned_by, confidence.
        items: domain, item_id, title, source, image (uri and sha256 of the first, or null).
        spu_vectors: spu_id, embedding: COPE's of the live release.
    """

    snapshot: Snapshot
    encoders: Mapping[str, str]
    spus: DataFrame
    members: DataFrame
    items: DataFrame
    spu_vectors: DataFrame

    def vectors(self, table: Table, kind: str, *columns: str) -> DataFrame:
        """Return the columns and the embeddings of the live release's encoder of a kind."""
        return _vectors(self.snapshot, table, self.encoders.get(kind, ""), columns)


@contextmanager
def open_catalogue(snapshot: Snapshot, encoders: Mapping[str, str]) -> Iterator[Catalogue]:
    """Keep the tables in memory meanwhile: finding the active rows is most of a query."""
    # Null where there is none; SQL's first element is number 1.
    image = F.try_element_at("images", F.lit(1)).alias("image")
    frames = (
        snapshot.state(SPUS, _SPU),
        snapshot.state(SPU_MEMBERS, _MEMBER),
        snapshot.state(ITEMS, [*_ITEM, "images"]).select(*_ITEM, image),
        _vectors(snapshot, SPU_EMBEDDINGS, encoders.get("cope", ""), ["spu_id"]),
    )
    with ExitStack() as stack:
        kept = [stack.enter_context(cached(frame)) for frame in frames]
        yield Catalogue(snapshot, encoders, *kept)


def active_counts(catalogue: Catalogue) -> dict[str, int]:
    """Return the number of active keys by table; of vectors, those of the live release."""
    frames = {
        "items": catalogue.items,
        "spus": catalogue.spus,
        "spu_members": catalogue.members,
        "spu_embeddings": catalogue.spu_vectors,
        "user_embeddings": catalogue.vectors(USER_EMBEDDINGS, "learn_user", "user_id"),
    }
    return dict(
        zip(frames, run_concurrently(frame.count for frame in frames.values()), strict=True)
    )


def look_up(catalogue: Catalogue, shown: Sequence[Sample], *, max_pixels: int) -> Records:
    """Read the records and pictures of all that is shown, each once.

    Args:
        max_pixels: width times height above which a picture is not decoded.
    """
    spu_ids = sorted({spu_id for sample in shown for spu_id in sample.spu_ids})
    keys = sorted({key for sample in shown for key in sample.item_keys})
    spark = catalogue.spus.sparkSession
    of_spus = F.broadcast(local_frame(spark, [(spu_id,) for spu_id in spu_ids], "spu_id string"))
    of_items = F.broadcast(local_frame(spark, keys, "domain string, item_id string"))
    members = catalogue.members.join(of_spus, on="spu_id", how="left_semi")
    spus, pictured, items = run_concurrently(
        frame.collect
        for frame in (
            catalogue.spus.join(of_spus, on="spu_id", how="left_semi"),
            one_picture_each(members, catalogue.items),
            catalogue.items.join(of_items, on=["domain", "item_id"], how="left_semi"),
        )
    )
    pictures = _pictures([*pictured, *items], max_pixels)
    of_spu = {row["spu_id"]: pictures[_key(row)] for row in pictured}
    return Records(
        {
            row["spu_id"]: replace(to_spu(row), picture=of_spu.get(row["spu_id"], NO_PICTURE))
            for row in spus
        },
        {
            _key(row): Item(*_key(row), row["title"], row["source"], pictures[_key(row)])
            for row in items
        },
    )


def one_picture_each(members: DataFrame, items: DataFrame) -> DataFrame:
    """Return the item whose picture stands for each SPU: spu_id, domain, item_id, image.

    Args:
        members: spu_id, domain, item_id.
        items: domain, item_id, image (null without a picture).
    """
    rank = F.array_position(F.array(*map(F.lit, _CLEAREST_FIRST)), F.col("domain"))
    clearest_first = Window.partitionBy("spu_id").orderBy(rank, "item_id")
    return (
        members.select("spu_id", "domain", "item_id")
        .join(items.select("domain", "item_id", "image"), on=["domain", "item_id"], how="inner")
        .filter(F.col("image").isNotNull())
        .withColumn("_rank", F.row_number().over(clearest_first))
        .filter(F.col("_rank") == 1)
        .select("spu_id", "domain", "item_id", "image")
    )


def thumbnail(uri: str, sha256: str, *, max_pixels: int) -> Picture:
    """Return a small copy of a picture that travels in the page, or why there is none.

    Pictures come from outside: their bytes must be those that were ingested, and their size is
    looked at before a pixel is decoded.
    """
    read = read_picture(uri, sha256, limits=Limits(max_pixels=max_pixels), side=THUMBNAIL_SIDE)
    if isinstance(read, BadPicture):
        return Picture(None, _NOT_SHOWN.get(read.reason, "the picture cannot be shown"))
    read.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    content = BytesIO()
    read.save(content, "WEBP", quality=_QUALITY, method=4)
    return Picture(f"data:image/webp;base64,{b64encode(content.getvalue()).decode()}")


def _vectors(snapshot: Snapshot, table: Table, version: str, columns: Sequence[str]) -> DataFrame:
    rows = snapshot.state(table, [*columns, "encoder_version", "embedding"])
    is_of_encoder = F.col("encoder_version") == F.lit(version)
    return rows.filter(is_of_encoder & F.col("embedding").isNotNull()).select(*columns, "embedding")


def _pictures(rows: Sequence[Row], max_pixels: int) -> dict[Key, Picture]:
    """Return the thumbnail of each item, each read once; threads wait for storage together."""

    def picture(image: Row | None) -> Picture:
        if image is None:
            return NO_PICTURE
        return thumbnail(image["uri"], image["sha256"], max_pixels=max_pixels)

    images = {_key(row): row["image"] for row in rows}
    pictures = run_concurrently(partial(picture, image) for image in images.values())
    return dict(zip(images, pictures, strict=True))


def _key(row: Row) -> Key:
    return row["domain"], row["item_id"]
