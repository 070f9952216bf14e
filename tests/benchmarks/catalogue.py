"""A catalogue of any size: the demo shop's products, many pages a product, few pictures.

A page in ten has a picture: the others are text. Users have ten events each.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np

from spark_jobs.demo.shop.build import demo_config
from spark_jobs.demo.shop.catalogue import Item, page
from spark_jobs.demo.shop.feeds import feed_folder, item_row, write_jsonl
from spark_jobs.demo.shop.pictures import Studio
from spark_jobs.demo.shop.products import Product, all_products
from spark_jobs.demo.shop.wording import MERCHANTS

PAGES_A_PRODUCT = 20
PICTURED = 10  # one page in so many
USERS_AN_ITEM = 0.1
EVENTS_A_USER = 10
CHANGED = 0.01
NIGHTS = ("2026-01-26", "2026-01-27", "2026-01-28", "2026-01-29", "2026-01-30")
FIRST, BEFORE, CHANGING, AFTER, LAST = NIGHTS


def write_catalogue(folder: Path, items: int, seed: int = 7) -> str:
    """Write five nights of feeds and return the configuration.

    They bring everything; a page and a user; 1 % of the pages and of the users; a page and a user
    again; nothing new. None is a Sunday, on which all pages are resolved.
    """
    pages = _first_night(folder, items, FIRST, seed)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(pages), size=round(len(pages) * CHANGED), replace=False)
    changed = [_retitled(pages[int(i)]) for i in chosen]
    bring = partial(_bring, folder, pages, seed)
    bring(CHANGING, changed, users=max(1, int(items * USERS_AN_ITEM * CHANGED)))
    once_more = _retitled(changed[0])
    bring(BEFORE, [_retitled(pages[0])], users=1)
    bring(AFTER, [once_more], users=1)
    # A night without a row is refused: a page is said again, as it is.
    bring(LAST, [once_more], users=0)
    return _config(folder)


def write_week(folder: Path, items: int, nights: Sequence[str], seed: int = 7) -> str:
    """Write nights of feeds and return the configuration.

    The first brings everything; each of the others five pages and the events of three users.
    """
    pages = _first_night(folder, items, nights[0], seed)
    for number, ds in enumerate(nights[1:]):
        changed = [_retitled(page) for page in pages[number * 5 : number * 5 + 5]]
        _bring(folder, pages, seed, ds, changed, users=3)
    return _config(folder)


def _config(folder: Path) -> str:
    # Java's own settings are for this size, not those of the small shop.
    text = demo_config(folder, folder / "warehouse")
    head, _, rest = text.partition("# A small catalogue")
    # The codebooks of a small shop are too coarse for this one; the audit would say so.
    return head + rest[rest.index("[[sources]]") :] + "\n[audit]\nmax_collisions = 1.0\n"


def _first_night(folder: Path, items: int, ds: str, seed: int) -> list[Item]:
    products = all_products(seed, max(1, items // PAGES_A_PRODUCT), new=0)
    pages = [item for product in products for item in _pages(product, seed)]
    pictured = [item for item in pages if item.pictures]
    Studio(products, seed).write(pictured, feed_folder(folder, ds))
    _bring(folder, pages, seed, ds, pages, users=int(items * USERS_AN_ITEM))
    return pages


def _bring(
    folder: Path, pages: Sequence[Item], seed: int, ds: str, changed: Iterable[Item], *, users: int
) -> None:
    night = feed_folder(folder, ds)
    write_jsonl(night / "items.jsonl", (item_row(item, is_deleted=False) for item in changed))
    write_jsonl(night / "interactions.jsonl", _events(pages, users, ds, seed))


def _pages(product: Product, seed: int) -> Iterator[Item]:
    for number in range(PAGES_A_PRODUCT):
        merchant = replace(MERCHANTS[number % len(MERCHANTS)], name=f"merchant-{number:02d}")
        item = page(product, merchant, seed=seed)
        # A page number keeps texts apart that chance made equal; hash ids may meet at this size.
        yield replace(
            item,
            item_id=f"{product.product_id}-{number:02d}",
            title=f"{item.title} no. {number}",
            pictures=item.pictures if number % PICTURED == 0 else (),
        )


def _retitled(item: Item) -> Item:
    return replace(item, title=f"{item.title} (updated)", pictures=())


def _events(pages: Sequence[Item], users: int, ds: str, seed: int) -> Iterator[dict[str, object]]:
    rng = np.random.default_rng([seed, int(ds.replace("-", ""))])
    start = datetime.fromisoformat(ds).replace(tzinfo=UTC)
    for user in range(users):
        for seconds in sorted(rng.choice(86_000, size=EVENTS_A_USER, replace=False)):
            item = pages[int(rng.integers(len(pages)))]
            at = start + timedelta(seconds=int(seconds))
            yield {
                "user_id": f"u{user:06d}",
                "domain": item.domain,
                "item_id": item.item_id,
                "action": "click",
                "occurred_at": at.isoformat().replace("+00:00", "Z"),
                "value": None,
            }
