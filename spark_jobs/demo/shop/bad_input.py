"""Bad input: what is wrong in the first night's feed, and as what should it be refused?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

from spark_jobs.demo.shop.behaviour import Event
from spark_jobs.demo.shop.catalogue import Item
from spark_jobs.demo.shop.chance import pick, pick_some, stream, token

ABSURD_PRICE = 9_999_999_999.0


@dataclass(frozen=True)
class BadInput:
    """One thing that ingest or an encoder should refuse.

    Attributes:
        reason: as ``quarantine`` names it.
        scope: ``row``: the row is refused; ``modality``: one picture of it is left out.
        domain: of the item that it is about.
        user_id: of an event; None for an item.
    """

    ds: str
    reason: str
    scope: Literal["row", "modality"]
    domain: str
    item_id: str
    user_id: str | None = None


def spoiled_pictures(items: Sequence[Item], feed: Path, *, ds: str, seed: int) -> list[BadInput]:
    """Break pictures of a written feed: one is no picture, one cut short, one missing."""
    rng = stream(seed, "spoiled pictures")
    page_l, page_r = pick_some(rng, [item for item in items if item.domain == "page"], 2)
    clip = pick(rng, [item for item in items if item.domain == "video"])
    (feed / page_l.pictures[0]).write_bytes(b"<html>503 Service Unavailable</html>")
    (feed / page_r.pictures[0]).unlink()
    frame = feed / clip.pictures[2]
    frame.write_bytes(frame.read_bytes()[:900])
    return [
        BadInput(ds, "image_corrupt", "modality", *page_l.key),
        BadInput(ds, "image_missing", "modality", *page_r.key),
        BadInput(ds, "image_corrupt", "modality", *clip.key),
    ]


def spoiled_items(
    items: Sequence[Item], *, ds: str, seed: int
) -> tuple[list[Item], list[BadInput]]:
    """Return rows to add to a feed: a key for the second time, an empty title, an absurd price."""
    rng = stream(seed, "spoiled items")
    again, untitled, dear = pick_some(rng, [item for item in items if item.domain == "page"], 3)
    rows = [
        replace(again, price=round((again.price or 0) + 1, 2)),
        replace(untitled, item_id=_new_id(untitled, seed), title="  "),
        replace(dear, item_id=_new_id(dear, seed), price=ABSURD_PRICE),
    ]
    reasons = ("duplicate_key", "title_empty", "price_absurd")
    return rows, [
        BadInput(ds, reason, "row", *row.key) for reason, row in zip(reasons, rows, strict=True)
    ]


def spoiled_events(
    events: Sequence[Event], *, ds: str, seed: int
) -> tuple[list[Event], list[BadInput]]:
    """Return events to add to a feed: one in the future, two for items that nobody offers."""
    rng = stream(seed, "spoiled events")
    future, first, second = pick_some(rng, events, 3)
    rows = [
        replace(future, occurred_at=events[-1].occurred_at + timedelta(days=40)),
        replace(first, domain="page", item_id=f"p{int(token(seed, 'unknown', 1), 16) % 10**9:09d}"),
        replace(second, domain="video", item_id=f"v{token(seed, 'unknown', 2)[:9]}"),
    ]
    reasons = ("event_in_future", "unknown_item", "unknown_item")
    return rows, [
        BadInput(ds, reason, "row", row.domain, row.item_id, row.user_id)
        for reason, row in zip(reasons, rows, strict=True)
    ]


def _new_id(item: Item, seed: int) -> str:
    return f"p{int(token(seed, 'another', item.item_id), 16) % 10**9:09d}"
