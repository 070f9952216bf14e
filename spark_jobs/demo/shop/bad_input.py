"""Bad input in the first night's feed, and the reason for which each should be quarantined."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

from spark_jobs.demo.shop.behaviour import Event
from spark_jobs.demo.shop.catalogue import Item
from spark_jobs.demo.shop.products import pick, pick_some, stream, token

ABSURD_PRICE = 9_999_999_999.0


@dataclass(frozen=True)
class BadInput:
    """One row or picture that ingest or an encoder should put into quarantine.

    Attributes:
        reason: as in the table ``quarantine``.
        scope: ``row``: the whole row; ``modality``: one picture of it.
        domain: of the item, or of the event's item.
        user_id: of an event; None for an item.
    """

    ds: str
    reason: str
    scope: Literal["row", "modality"]
    domain: str
    item_id: str
    user_id: str | None = None


def spoiled_pictures(items: Sequence[Item], feed: Path, *, ds: str, seed: int) -> list[BadInput]:
    """Break pictures of a written feed: one is an HTML page, one truncated, one missing."""
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
    """Return rows to add to a feed: a control character, an empty title, an absurd price."""
    rng = stream(seed, "spoiled items")
    belled, untitled, expensive = pick_some(
        rng, [item for item in items if item.domain == "page"], 3
    )
    rows = [
        replace(belled, item_id=_new_id(belled, seed), title=f"{belled.title}\u0007"),
        replace(untitled, item_id=_new_id(untitled, seed), title="  "),
        replace(expensive, item_id=_new_id(expensive, seed), price=ABSURD_PRICE),
    ]
    reasons = ("control_characters", "title_empty", "price_absurd")
    return rows, [
        BadInput(ds, reason, "row", *row.key) for reason, row in zip(reasons, rows, strict=True)
    ]


def spoiled_events(
    events: Sequence[Event], *, ds: str, seed: int
) -> tuple[list[Event], list[BadInput]]:
    """Return events to add to a feed: one in the future, two with unknown items."""
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
