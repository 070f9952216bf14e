"""Feeds: the shop's items and interactions of a night as JSON Lines, in the contract's columns."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from spark_jobs.demo.shop.behaviour import Event
from spark_jobs.demo.shop.catalogue import Item
from spark_jobs.demo.shop.products import token


def feed_folder(folder: Path, ds: str) -> Path:
    """Return where a night's feed lies."""
    return folder / "feeds" / ds


def write_items(
    feed: Path, items: Sequence[Item], *, removed: Sequence[Item] = (), seed: int
) -> None:
    """Write ``items.jsonl`` in an order that is independent of the products."""
    rows = [item_row(item, is_deleted=False) for item in items]
    rows += [item_row(item, is_deleted=True) for item in removed]
    rows.sort(key=lambda row: token(seed, feed.name, row["domain"], row["item_id"], length=32))
    write_jsonl(feed / "items.jsonl", rows)


def write_interactions(feed: Path, events: Sequence[Event]) -> None:
    """Write ``interactions.jsonl``, in the order of time."""
    write_jsonl(feed / "interactions.jsonl", (event_row(event) for event in events))


def item_row(item: Item, *, is_deleted: bool) -> dict[str, object]:
    """Return the row of an item; a removed one keeps its columns."""
    return {
        "domain": item.domain,
        "item_id": item.item_id,
        "source": item.source,
        "title": item.title,
        "text": item.text,
        "brand": item.brand,
        "category": item.category,
        "attributes": dict(item.attributes),
        "price": item.price,
        "images": list(item.pictures),
        "linked_item_ids": list(item.linked_item_ids),
        "is_deleted": is_deleted,
    }


def event_row(event: Event) -> dict[str, object]:
    """Return the row of an interaction."""
    return {
        "user_id": event.user_id,
        "domain": event.domain,
        "item_id": event.item_id,
        "action": event.action,
        "occurred_at": event.occurred_at.isoformat().replace("+00:00", "Z"),
        "value": event.value,
    }


def write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
