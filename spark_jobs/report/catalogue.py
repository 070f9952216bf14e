"""Catalogue: the tables of the night that several parts of the report ask, folded once."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import ITEMS, SPU_EMBEDDINGS, SPU_MEMBERS, SPUS
from spark_jobs.releases.release import Release
from spark_jobs.report.view import View

_SPU = ("spu_id", "title", "brand", "category", "n_items")
_MEMBER = ("spu_id", "domain", "item_id", "assigned_by", "confidence")
_ITEM = ("domain", "item_id", "title", "source")


@dataclass(frozen=True)
class Catalogue:
    """What is in force at the end of the night.

    Attributes:
        spus: spu_id, title, brand, category, n_items.
        members: spu_id, domain, item_id, assigned_by, confidence.
        items: domain, item_id, title, source, image (uri and sha256 of the first, or null).
        spu_vectors: spu_id, embedding: COPE's of the live release; None where none is live.
    """

    spus: DataFrame
    members: DataFrame
    items: DataFrame
    spu_vectors: DataFrame | None


@contextmanager
def open_catalogue(view: View, live: Release | None) -> Iterator[Catalogue]:
    """Keep the tables for as long as they are asked: folding a log is most of a query."""
    # Null where there is none; SQL's first element is number 1.
    image = F.try_element_at("images", F.lit(1)).alias("image")
    items = view.state(ITEMS, [*_ITEM, "images"]).select(*_ITEM, image)
    vectors = None
    if live is not None:
        vectors = view.vectors(SPU_EMBEDDINGS, live.encoders["cope"], "spu_id")
    with ExitStack() as kept:

        def keep(frame: DataFrame) -> DataFrame:
            kept.callback(frame.unpersist)
            return frame.persist()

        yield Catalogue(
            keep(view.state(SPUS, _SPU)),
            keep(view.state(SPU_MEMBERS, _MEMBER)),
            keep(items),
            None if vectors is None else keep(vectors),
        )
