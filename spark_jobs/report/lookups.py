"""Lookups: what do the SPUs and items that the report shows look like?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.report.catalogue import Catalogue
from spark_jobs.report.choices import one_picture_each
from spark_jobs.report.facts import Item, Key, Picture, Spu
from spark_jobs.report.thumbnails import thumbnail

NO_PICTURE = Picture(None, "no picture")


class Shown(Protocol):
    """Part of the report that has been chosen, by keys alone."""

    @property
    def spu_ids(self) -> Iterable[str]: ...

    @property
    def item_keys(self) -> Iterable[Key]: ...


@dataclass(frozen=True)
class Looks:
    """SPUs and items by key; what is in no table any more is shown by its key alone."""

    spus: Mapping[str, Spu]
    items: Mapping[Key, Item]

    def spu(self, spu_id: str) -> Spu:
        return self.spus.get(spu_id) or Spu(spu_id, "(no longer an SPU)", "", "", 0, NO_PICTURE)

    def item(self, key: Key) -> Item:
        return self.items.get(key) or Item(*key, "(no longer an item)", "", NO_PICTURE)


def look_up(catalogue: Catalogue, shown: Sequence[Shown], *, max_pixels: int) -> Looks:
    """Read the records and pictures of all that is shown, each once."""
    spu_ids = sorted({spu_id for part in shown for spu_id in part.spu_ids})
    keys = sorted({key for part in shown for key in part.item_keys})
    spark = catalogue.spus.sparkSession
    wanted_spus = local_frame(spark, [(spu_id,) for spu_id in spu_ids], "spu_id string")
    wanted_items = local_frame(spark, keys, "domain string, item_id string")
    members = catalogue.members.join(F.broadcast(wanted_spus), on="spu_id", how="left_semi")
    images = catalogue.items.select("domain", "item_id", "image")
    spus, faces, items = run_concurrently(
        partial(_collected, frame)
        for frame in (
            catalogue.spus.join(F.broadcast(wanted_spus), on="spu_id", how="left_semi"),
            one_picture_each(members.select("spu_id", "domain", "item_id"), images),
            catalogue.items.join(
                F.broadcast(wanted_items), on=["domain", "item_id"], how="left_semi"
            ),
        )
    )
    pictures = _pictures([*faces, *items], max_pixels)
    of_spu = {row["spu_id"]: _key(row) for row in faces}
    return Looks(
        {
            row["spu_id"]: replace(to_spu(row), picture=pictures[of_spu[row["spu_id"]]])
            if row["spu_id"] in of_spu
            else to_spu(row)
            for row in spus
        },
        {
            _key(row): Item(*_key(row), row["title"], row["source"], pictures[_key(row)])
            for row in items
        },
    )


def to_spu(row: Row) -> Spu:
    """Return a row of ``spus`` as an SPU without a picture."""
    return Spu(
        spu_id=row["spu_id"],
        title=row["title"],
        brand=row["brand"] or "",
        category=row["category"] or "",
        n_items=row["n_items"],
        picture=NO_PICTURE,
    )


def _pictures(rows: Sequence[Row], max_pixels: int) -> dict[Key, Picture]:
    images = {_key(row): row["image"] for row in rows}

    def drawn(image: Row | None) -> Picture:
        if image is None:
            return NO_PICTURE
        return thumbnail(image["uri"], image["sha256"], max_pixels=max_pixels)

    pictures = run_concurrently(partial(drawn, image) for image in images.values())
    return dict(zip(images, pictures, strict=True))


def _key(row: Row) -> Key:
    return row["domain"], row["item_id"]


def _collected(frame: DataFrame) -> list[Row]:
    return list(frame.collect())
