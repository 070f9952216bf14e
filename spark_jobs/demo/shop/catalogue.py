"""Items that merchants, channels and live rooms offer of the products."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spark_jobs.demo.shop.products import Product, happens, pick, pick_some, stream, token
from spark_jobs.demo.shop.wording import (
    MERCHANTS,
    Merchant,
    page_attributes,
    page_brand,
    page_text,
    page_title,
    spoken,
    video_title,
)

Key = tuple[str, str]
Place = tuple[int, int]  # room, start of the slice in ms
CHANNELS = ("try-it-all", "maya-shows", "two-minute-tests", "home-and-more", "daily-drops")
UNLINKED = 0.05  # share of videos and slices that name no page
SLICE_MS = 30_000


@dataclass(frozen=True)
class ShopSize:
    """The size of the shop.

    The defaults make about 1,520 pictures: EfficientNet-Lite0 encodes them in 35 s at 44
    pictures/s, the rate of two workers of one thread reach in bfloat16 on two cores without AMX.

    Attributes:
        new_products: of ``products``, those that enter on the second night.
        slices_per_room: also the number of products of a room.
    """

    products: int = 200
    new_products: int = 3
    videos: int = 80
    frames: int = 8
    rooms: int = 16
    slices_per_room: int = 5
    slice_frames: int = 4
    users: int = 2000


@dataclass(frozen=True)
class Item:
    """One item: the columns of its source, and ground truth.

    Attributes:
        product_ids: products in the picture, main one first. Ground truth: not in any feed.
        shot: name of the random stream that its pictures are drawn from.
        pictures: paths, relative to the feed.
    """

    domain: str
    item_id: str
    source: str
    title: str
    text: str | None
    brand: str | None
    category: str | None
    attributes: Mapping[str, str]
    price: float | None
    pictures: Sequence[str]
    linked_item_ids: Sequence[str]
    product_ids: tuple[str, ...]
    shot: str

    @property
    def key(self) -> Key:
        return self.domain, self.item_id

    @property
    def product_id(self) -> str:
        """The main product."""
        return self.product_ids[0]


def page(product: Product, merchant: Merchant, *, seed: int) -> Item:
    """Return a merchant's page of a product."""
    rng = stream(seed, "page", merchant.name, product.product_id)
    shot = token(seed, "page", merchant.name, product.product_id)
    return Item(
        domain="page",
        item_id=f"p{int(shot, 16) % 10**9:09d}",
        source=merchant.name,
        title=page_title(product, merchant, rng),
        text=page_text(product, rng),
        brand=page_brand(product, rng),
        category=product.category.path if not happens(rng, 0.05) else None,
        attributes=page_attributes(product, merchant, rng),
        price=round(product.price * float(rng.uniform(0.92, 1.08)), 2),
        pictures=picture_paths("page", shot, 1),
        linked_item_ids=(),
        product_ids=(product.product_id,),
        shot=shot,
    )


def pages(products: Sequence[Product], seed: int) -> list[Item]:
    """Return two to four pages for each product, of different merchants."""
    found = []
    for product in products:
        rng = stream(seed, "merchants", product.product_id)
        count = int(rng.choice([2, 3, 4], p=[0.35, 0.45, 0.2]))
        found += [
            page(product, merchant, seed=seed) for merchant in pick_some(rng, MERCHANTS, count)
        ]
    return found


def video(product: Product, take: int, *, pages: Sequence[Item], frames: int, seed: int) -> Item:
    """Return a short video about a product; it links to one or two of the product's ``pages``."""
    rng = stream(seed, "video", product.product_id, take)
    shot = token(seed, "video", product.product_id, take)
    return Item(
        domain="video",
        item_id=f"v{shot[:9]}",
        source=pick(rng, CHANNELS),
        title=video_title(product, rng),
        text=spoken(product, rng),
        brand=None,
        category=None,
        attributes={},
        price=None,
        pictures=picture_paths("video", shot, frames),
        linked_item_ids=_links([pages], rng),
        product_ids=(product.product_id,),
        shot=shot,
    )


def videos(
    products: Sequence[Product], page_items: Sequence[Item], *, size: ShopSize, seed: int
) -> list[Item]:
    """Return ``size.videos`` videos: one of each product, then a second of each."""
    by_product = pages_by_product(page_items)
    order = stream(seed, "videos").permutation(len(products))
    chosen = [products[int(order[index % len(order)])] for index in range(size.videos)]
    return [
        video(
            product,
            take=index // len(order),
            pages=by_product[product.product_id],
            frames=size.frames,
            seed=seed,
        )
        for index, product in enumerate(chosen)
    ]


def live_slice(
    shown: Sequence[Product],
    place: Place,
    *,
    pages: Sequence[Sequence[Item]],
    frames: int,
    seed: int,
) -> Item:
    """Return a slice of a live room: ``shown[0]`` is presented, the others are on the table."""
    room, start_ms = place
    rng = stream(seed, "live", room, start_ms)
    shot = token(seed, "live", room, start_ms)
    aside = (
        f"and later we have the {shown[1].category.short} of {shown[1].brand.lower()}"
        if shown[1:]
        else ""
    )
    return Item(
        domain="live",
        item_id=f"room-{room:03d}:{start_ms}-{start_ms + SLICE_MS}",
        source=f"room-{room:03d}",
        title=pick(rng, ("Live now: deals of the evening", "Live shopping", "Live: new arrivals")),
        text=f"{spoken(shown[0], rng)} {aside}".strip(),
        brand=None,
        category=None,
        attributes={},
        price=None,
        pictures=picture_paths("live", shot, frames),
        linked_item_ids=_links(pages, rng),
        product_ids=tuple(product.product_id for product in shown),
        shot=shot,
    )


def live_slices(
    products: Sequence[Product], page_items: Sequence[Item], *, size: ShopSize, seed: int
) -> list[Item]:
    """Return the slices of all rooms: a room presents each of its products in a slice."""
    by_product = pages_by_product(page_items)
    order = stream(seed, "videos").permutation(
        len(products)
    )  # what has a video is presented live too
    slices = []
    for room in range(size.rooms):
        places = np.arange(room, room + size.rooms * size.slices_per_room, size.rooms) % len(order)
        of_room = [products[int(order[place])] for place in places]
        for index in range(len(of_room)):
            rng = stream(seed, "table", room, index)
            others = of_room[:index] + of_room[index + 1 :]
            shown = [of_room[index], *pick_some(rng, others, int(rng.integers(2, 4)))]
            slices.append(
                live_slice(
                    shown,
                    (room, index * SLICE_MS),
                    pages=[by_product[product.product_id] for product in shown],
                    frames=size.slice_frames,
                    seed=seed,
                )
            )
    return slices


def pages_by_product(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Return the pages of each product, in the order of ``items``."""
    found: dict[str, list[Item]] = {}
    for item in items:
        if item.domain == "page":
            found.setdefault(item.product_id, []).append(item)
    return found


def picture_paths(domain: str, shot: str, count: int) -> tuple[str, ...]:
    """Return where the pictures of a shot lie, relative to the feed."""
    return tuple(f"images/{domain}-{shot}-{number}.jpg" for number in range(count))


def _links(pages: Sequence[Sequence[Item]], rng: np.random.Generator) -> tuple[str, ...]:
    """Link to a page or two of the main product, then to one of each other product."""
    if happens(rng, UNLINKED):
        return ()
    main = pick_some(rng, pages[0], int(rng.integers(1, 3)))
    others = [pick(rng, list(items)) for items in pages[1:]]
    return tuple(item.item_id for item in (*main, *others))
