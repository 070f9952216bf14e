"""The demo shop: three nights of feeds and their ground truth, written to a folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from spark_jobs.demo.shop.bad_input import BadInput, spoiled_events, spoiled_items, spoiled_pictures
from spark_jobs.demo.shop.behaviour import (
    Event,
    User,
    all_users,
    day,
    history,
    night_end,
    offer,
    popularity,
)
from spark_jobs.demo.shop.catalogue import Item, Key, ShopSize
from spark_jobs.demo.shop.feeds import feed_folder, write_interactions, write_items, write_jsonl
from spark_jobs.demo.shop.pictures import Studio, resend
from spark_jobs.demo.shop.products import Product, all_products
from spark_jobs.demo.shop.three_nights import (
    BROKEN_MERCHANT,
    NIGHTS,
    SecondNight,
    after,
    broken_night,
    first_night,
    second_night,
)
from spark_jobs.engine.session import QUICK_JAVA

_JAVA_OPTIONS = f"{QUICK_JAVA} -Xmn700m"


@dataclass(frozen=True)
class Shop:
    """The shop as written.

    Attributes:
        items, events, pictures: night -> rows or files of its feed.
        bad_input: rows and pictures that the first night should put into quarantine.
    """

    folder: Path
    products: int
    users: int
    items: Mapping[str, int]
    events: Mapping[str, int]
    pictures: Mapping[str, int]
    bad_input: Sequence[BadInput]


@dataclass(frozen=True)
class _Plan:
    """The content of the shop, before anything is written."""

    products: Sequence[Product]
    users: Sequence[User]
    items: Sequence[Item]
    second: SecondNight
    resent: Sequence[Item]
    grey: set[Key]
    events: Mapping[str, Sequence[Event]]


def build_shop(folder: str | Path, seed: int = 7, *, size: ShopSize | None = None) -> Shop:
    """Write the shop: ``feeds/<ds>/`` for three nights, and ``truth/`` for evaluation only.

    The same seed and size write the same bytes. The first night has all items, with some bad rows;
    the second one the changes; the third one all items again, broken.
    """
    root, size = Path(folder), size or ShopSize()
    plan = _plan(seed, size)
    first, second, third = (feed_folder(root, ds) for ds in NIGHTS)
    studio = Studio(plan.products, seed)

    studio.write(plan.items, first)
    bad_pictures = spoiled_pictures(plan.items, first, ds=NIGHTS[0], seed=seed)
    rows, bad_rows = spoiled_items(plan.items, ds=NIGHTS[0], seed=seed)
    events, bad_events = spoiled_events(plan.events[NIGHTS[0]], ds=NIGHTS[0], seed=seed)
    write_items(first, [*plan.items, *rows], seed=seed)
    write_interactions(first, [*plan.events[NIGHTS[0]], *events])

    existing = {item.shot for item in plan.items}
    studio.write([item for item in plan.second.items if item.shot not in existing], second)
    resend([item for item in plan.second.items if item.shot in existing], second, earlier=[first])
    write_items(second, plan.second.items, removed=plan.second.removed, seed=seed)
    write_interactions(second, plan.events[NIGHTS[1]])

    resend(plan.resent, third, earlier=[first, second], grey=plan.grey)
    write_items(third, plan.resent, seed=seed)
    write_interactions(third, plan.events[NIGHTS[2]])

    bad_input = [*bad_pictures, *bad_rows, *bad_events]
    _write_truth(root / "truth", plan, bad_input=bad_input, seed=seed)
    return _written(root, plan, bad_input)


def demo_config(folder: str | Path, warehouse: str | Path) -> str:
    """Return the TOML text of the configuration that reads the shop's feeds into a warehouse."""
    feed = Path(folder).absolute() / "feeds" / "{ds}"
    return f"""\
warehouse = {_quoted(str(Path(warehouse).absolute()))}

[spark]
master = "local[2]"
driver_memory = "3g"
shuffle_partitions = 2

# A small catalogue on one machine: compiling Java well, and planning a query anew while it runs,
# would cost more than running it.
[spark.conf]
"spark.driver.extraJavaOptions" = {_quoted(_JAVA_OPTIONS)}
"spark.sql.adaptive.enabled" = "false"

[[sources]]
name = "shop_items"
kind = "items"
path = {_quoted(str(feed / "items.jsonl"))}

[[sources]]
name = "shop_interactions"
kind = "interactions"
path = {_quoted(str(feed / "interactions.jsonl"))}

[spu]
# A merchant of the demo shop lists a product at most once.
exclusive_sources = ["*"]

[semantic_ids]
codebook_size = 16
"""


def _plan(seed: int, size: ShopSize) -> _Plan:
    products = all_products(seed, size.products, new=size.new_products)
    users = all_users(seed, size.users)
    items = first_night(products, size=size, seed=seed)
    second = second_night(products, items, size=size, seed=seed)
    state = after(items, second)
    resent, grey = broken_night(state, seed)
    offers = {NIGHTS[0]: items, NIGHTS[1]: state, NIGHTS[2]: state}
    events = {
        ds: (history if ds == NIGHTS[0] else day)(
            users, offer(products, offers[ds], seed=seed), end=night_end(ds), seed=seed
        )
        for ds in NIGHTS
    }
    return _Plan(products, users, items, second, resent, grey, events)


def _write_truth(folder: Path, plan: _Plan, *, bad_input: Sequence[BadInput], seed: int) -> None:
    """Write ``items``, ``products``, ``users``, ``bad_input`` and ``changes`` beside the feeds."""
    every_item = {item.key: item for item in (*plan.items, *plan.second.items)}.values()
    write_jsonl(
        folder / "items.jsonl",
        (
            {
                "domain": item.domain,
                "item_id": item.item_id,
                "product_id": item.product_id,
                "also_in_view": list(item.product_ids[1:]),
            }
            for item in every_item
        ),
    )
    added = popularity(plan.products, seed)
    write_jsonl(
        folder / "products.jsonl",
        (
            {**asdict(product), "category": product.category.path, "popularity": float(each)}
            for product, each in zip(plan.products, added, strict=True)
        ),
    )
    write_jsonl(folder / "users.jsonl", (_user_row(user) for user in plan.users))
    write_jsonl(folder / "bad_input.jsonl", (asdict(each) for each in bad_input))
    changes = {"|".join(key): change for key, change in plan.second.changes.items()}
    broken = {"merchant": BROKEN_MERCHANT, "grey": sorted("|".join(key) for key in plan.grey)}
    text = json.dumps({NIGHTS[1]: changes, NIGHTS[2]: broken}, indent=1, sort_keys=True)
    (folder / "changes.json").write_text(text + "\n", encoding="utf-8")


def _user_row(user: User) -> dict[str, object]:
    weights = {
        trait: [[round(float(weight), 4) for weight in moment] for moment in moments]
        for trait, moments in user.weights.items()
    }
    return {"user_id": user.user_id, "tribe": user.tribe, "weights": weights}


def _written(root: Path, plan: _Plan, bad_input: Sequence[BadInput]) -> Shop:
    feeds = {ds: feed_folder(root, ds) for ds in NIGHTS}
    return Shop(
        folder=root,
        products=len(plan.products),
        users=len(plan.users),
        items={ds: _lines(feed / "items.jsonl") for ds, feed in feeds.items()},
        events={ds: _lines(feed / "interactions.jsonl") for ds, feed in feeds.items()},
        pictures={ds: sum(1 for _ in feed.glob("images/*.jpg")) for ds, feed in feeds.items()},
        bad_input=bad_input,
    )


def _lines(path: Path) -> int:
    with open(path, encoding="utf-8") as file:
        return sum(1 for _ in file)


def _quoted(text: str) -> str:
    """Return a TOML string: JSON's, but letters outside ASCII are not escaped."""
    return json.dumps(text, ensure_ascii=False)
