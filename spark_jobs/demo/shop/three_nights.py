"""The three nights: items of the first, changes of the second, broken feed of the third."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from spark_jobs.demo.shop.catalogue import (
    Item,
    Key,
    ShopSize,
    live_slice,
    live_slices,
    page,
    pages,
    pages_by_product,
    picture_paths,
    video,
    videos,
)
from spark_jobs.demo.shop.products import Product, pick, pick_some, stream
from spark_jobs.demo.shop.wording import MERCHANTS, page_title

NIGHTS = ("2026-01-29", "2026-01-30", "2026-01-31")
BROKEN_MERCHANT = MERCHANTS[3].name  # its titles arrive empty on the third night
# Shares of the first night's items that the second night changes; with the new products about 5 %.
CHANGES = {"new_page": 0.010, "repriced": 0.012, "retitled": 0.006, "repictured": 0.006}
REMOVED = 0.015


@dataclass(frozen=True)
class SecondNight:
    """The second night's feed.

    Attributes:
        changes: key -> change: ``new_product``, ``new_page``, ``repriced``, ``retitled``,
            ``repictured`` or ``removed``.
    """

    items: Sequence[Item]
    removed: Sequence[Item]
    changes: dict[Key, str]


def first_night(products: Sequence[Product], *, size: ShopSize, seed: int) -> list[Item]:
    """Return all items of the products that the shop starts with."""
    known = [product for product in products if not product.is_new]
    page_items = pages(known, seed)
    return [
        *page_items,
        *videos(known, page_items, size=size, seed=seed),
        *live_slices(known, page_items, size=size, seed=seed),
    ]


def second_night(
    products: Sequence[Product], items: Sequence[Item], *, size: ShopSize, seed: int
) -> SecondNight:
    """Return the changes of a day: new products and pages, other prices, titles, pictures."""
    rng = stream(seed, "second night")
    by_id = {product.product_id: product for product in products}
    page_items = [item for item in items if item.domain == "page"]
    counts = {change: max(1, round(share * len(items))) for change, share in CHANGES.items()}
    touched = pick_some(
        rng, page_items, counts["repriced"] + counts["retitled"] + counts["repictured"]
    )
    repriced = touched[: counts["repriced"]]
    retitled = touched[counts["repriced"] :][: counts["retitled"]]
    repictured = touched[counts["repriced"] + counts["retitled"] :]
    changed = {
        "new_product": _new_products(products, size=size, seed=seed),
        "new_page": _new_pages(by_id, page_items, count=counts["new_page"], seed=seed),
        "repriced": [
            replace(item, price=round((item.price or 0) * pick(rng, (0.75, 0.8, 0.9, 1.1)), 2))
            for item in repriced
        ],
        "retitled": [_retitled(item, by_id[item.product_id], seed=seed) for item in retitled],
        "repictured": [_repictured(item) for item in repictured],
    }
    removed = _removed(items, touched={item.key for item in touched}, seed=seed)
    changes = {item.key: change for change, items in changed.items() for item in items}
    changes |= {item.key: "removed" for item in removed}
    return SecondNight([item for items in changed.values() for item in items], removed, changes)


def after(items: Sequence[Item], night: SecondNight) -> list[Item]:
    """Return the items that the shop offers after the second night."""
    state = {item.key: item for item in (*items, *night.items)}
    for item in night.removed:
        del state[item.key]
    return list(state.values())


def broken_night(items: Sequence[Item], seed: int) -> tuple[list[Item], set[Key]]:
    """Return the third night's feed: all items again, some with empty titles or grey pictures.

    Returns:
        The items, and the keys of the pages whose picture is grey.
    """
    page_keys = [item.key for item in items if item.domain == "page"]
    grey = set(pick_some(stream(seed, "grey"), page_keys, len(page_keys) // 2))
    resent = [replace(item, title="") if item.source == BROKEN_MERCHANT else item for item in items]
    return resent, grey


def _new_products(products: Sequence[Product], *, size: ShopSize, seed: int) -> list[Item]:
    """Return the items of new products: pages, a video and a live slice in a room of its own."""
    new = [product for product in products if product.is_new]
    page_items = pages(new, seed)
    by_product = pages_by_product(page_items)
    found = list(page_items)
    for number, product in enumerate(new):
        own = by_product[product.product_id]
        found.append(video(product, take=0, pages=own, frames=size.frames, seed=seed))
        shown = [product, *[other for other in new if other is not product][:2]]
        found.append(
            live_slice(
                shown,
                (size.rooms + number, 0),
                pages=[by_product[each.product_id] for each in shown],
                frames=size.slice_frames,
                seed=seed,
            )
        )
    return found


def _new_pages(
    by_id: dict[str, Product], page_items: Sequence[Item], *, count: int, seed: int
) -> list[Item]:
    """Return pages of known products at merchants that did not list them before."""
    rng = stream(seed, "new pages")
    listed = {(item.product_id, item.source) for item in page_items}
    products = sorted({item.product_id for item in page_items})
    found = []
    for product_id in pick_some(rng, products, count):
        free = [merchant for merchant in MERCHANTS if (product_id, merchant.name) not in listed]
        found.append(page(by_id[product_id], pick(rng, free), seed=seed))
    return found


def _retitled(item: Item, product: Product, *, seed: int) -> Item:
    merchant = next(merchant for merchant in MERCHANTS if merchant.name == item.source)
    rng = stream(seed, "retitled", item.item_id)
    titles = [page_title(product, merchant, rng) for _ in range(20)]
    return replace(item, title=next((t for t in titles if t != item.title), f"{item.title} (new)"))


def _repictured(item: Item) -> Item:
    shot = f"{item.shot}b"
    return replace(item, shot=shot, pictures=picture_paths(item.domain, shot, len(item.pictures)))


def _removed(items: Sequence[Item], *, touched: set[Key], seed: int) -> list[Item]:
    """Return the items to remove: of pages only a product's third and fourth, and none linked to.

    Args:
        touched: keys that change in another way.
    """
    linked = {link for item in items for link in item.linked_item_ids}
    first_two = {item.key for own in pages_by_product(items).values() for item in own[:2]}
    removable = [
        item for item in items if item.key not in touched | first_two and item.item_id not in linked
    ]
    return pick_some(stream(seed, "removed"), removable, round(REMOVED * len(items)))
