import hashlib
import json
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from spark_jobs.config import load_config
from spark_jobs.contracts import ACTIONS, DOMAINS
from spark_jobs.demo.shop.behaviour import night_end
from spark_jobs.demo.shop.build import Shop, build_shop, demo_config
from spark_jobs.demo.shop.catalogue import ShopSize
from spark_jobs.demo.shop.three_nights import BROKEN_MERCHANT, NIGHTS

Row = dict[str, object]
FIRST, SECOND, THIRD = NIGHTS


def rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def items(shop: Shop, ds: str) -> list[Row]:
    return rows(shop.folder / "feeds" / ds / "items.jsonl")


def events(shop: Shop, ds: str) -> list[Row]:
    return rows(shop.folder / "feeds" / ds / "interactions.jsonl")


def truth(shop: Shop) -> dict[tuple[object, object], str]:
    found = rows(shop.folder / "truth" / "items.jsonl")
    return {(row["domain"], row["item_id"]): str(row["product_id"]) for row in found}


def key(row: Row) -> tuple[object, object]:
    return row["domain"], row["item_id"]


def bad_keys(shop: Shop, *reasons: str) -> set[tuple[object, object]]:
    return {(bad.domain, bad.item_id) for bad in shop.bad_input if bad.reason in reasons}


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def moment(row: Row) -> datetime:
    return datetime.fromisoformat(str(row["occurred_at"]).replace("Z", "+00:00"))


def is_grey(path: Path) -> bool:
    try:
        colours = Image.open(path).getcolors(maxcolors=2)
    except OSError:  # missing or corrupt, as on the first night
        return False
    return colours is not None and len(colours) == 1


@pytest.mark.heavy
def test_build_shop_writes_the_same_bytes_for_the_same_seed(
    shop: Shop, small_size: ShopSize, seed: int, tmp_path: Path
) -> None:
    again = build_shop(tmp_path / "again", seed, size=small_size)

    assert digests(again.folder) == digests(shop.folder)


@pytest.mark.heavy
def test_build_shop_writes_another_shop_for_another_seed(
    shop: Shop, small_size: ShopSize, seed: int, tmp_path: Path
) -> None:
    other = build_shop(tmp_path / "other", seed + 1, size=small_size)

    titles, other_titles = ({row["title"] for row in items(s, FIRST)} for s in (shop, other))
    assert len(titles & other_titles) < 0.2 * len(titles)


@pytest.mark.heavy
def test_build_shop_in_the_same_folder_again_changes_nothing(
    small_size: ShopSize, seed: int, tmp_path: Path
) -> None:
    first = digests(build_shop(tmp_path, seed, size=small_size).folder)

    second = digests(build_shop(tmp_path, seed, size=small_size).folder)

    assert second == first


def test_first_night_has_the_number_of_items_of_its_size(shop: Shop, small_size: ShopSize) -> None:
    extra = bad_keys(shop, "control_characters", "title_empty", "price_absurd")
    good = {key(row): row for row in items(shop, FIRST) if key(row) not in extra}

    counts = Counter(domain for domain, _ in good)
    assert counts["video"] == small_size.videos
    assert counts["live"] == small_size.rooms * small_size.slices_per_room
    assert 2 * 24 <= counts["page"] <= 4 * 24
    assert shop.items[FIRST] == sum(counts.values()) + 3  # three bad rows


def test_rows_have_the_contracts_columns(shop: Shop) -> None:
    item_columns = {
        "domain", "item_id", "source", "title", "text", "brand", "category", "attributes", "price",
        "images", "linked_item_ids", "is_deleted",
    }  # fmt: skip
    event_columns = {"user_id", "domain", "item_id", "action", "occurred_at", "value"}

    for ds in NIGHTS:
        assert all(set(row) == item_columns for row in items(shop, ds))
        assert all(set(row) == event_columns for row in events(shop, ds))
        assert {row["domain"] for row in items(shop, ds)} == set(DOMAINS)
        assert {row["action"] for row in events(shop, ds)} <= set(ACTIONS)


def test_truth_has_the_product_of_every_good_item(shop: Shop) -> None:
    known = truth(shop)
    bad = bad_keys(shop, "control_characters", "title_empty", "price_absurd")
    products = {row["product_id"] for row in rows(shop.folder / "truth" / "products.jsonl")}

    offered = {key(row) for ds in NIGHTS for row in items(shop, ds)}
    assert offered - bad == set(known)
    assert set(known.values()) == products
    assert len(products) == shop.products


def test_truth_has_the_taste_of_every_user(shop: Shop) -> None:
    users = {row["user_id"] for row in rows(shop.folder / "truth" / "users.jsonl")}

    assert {row["user_id"] for ds in NIGHTS for row in events(shop, ds)} <= users
    assert len(users) == shop.users


def test_feeds_hold_no_product_id(shop: Shop) -> None:
    for path in (shop.folder / "feeds").rglob("*.jsonl"):
        assert "product-0" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("column", ["item_id", "images"])
def test_order_of_ids_and_pictures_is_independent_of_products(shop: Shop, column: str) -> None:
    known = truth(shop)
    pages = [row for row in items(shop, FIRST) if row["domain"] == "page" and key(row) in known]

    for order in (pages, sorted(pages, key=lambda row: str(row[column]))):
        products = [known[key(row)] for row in order]
        neighbours = sum(a == b for a, b in pairwise(products))
        # Of some 70 pages, two or so stand beside one of the same product by chance.
        assert neighbours < 0.15 * len(products)


def test_a_merchant_lists_a_product_once(shop: Shop) -> None:
    known = truth(shop)
    pages = {key(row): row for ds in NIGHTS for row in items(shop, ds) if row["domain"] == "page"}

    listed = Counter((row["source"], known[page]) for page, row in pages.items() if page in known)
    assert max(listed.values()) == 1


def test_videos_and_slices_link_to_pages_of_the_products_they_show(shop: Shop) -> None:
    known = truth(shop)
    shown = {
        key(row): {row["product_id"], *row["also_in_view"]}  # type: ignore[misc]
        for row in rows(shop.folder / "truth" / "items.jsonl")
    }

    for row in items(shop, FIRST):
        links = [known["page", link] for link in row["linked_item_ids"]]  # type: ignore[attr-defined]
        assert set(links) <= shown.get(key(row), set())
        assert not links or links[0] == known[key(row)]


def test_all_pictures_but_the_missing_one_are_written(shop: Shop) -> None:
    missing = bad_keys(shop, "image_missing")
    corrupt = bad_keys(shop, "image_corrupt")

    for ds in NIGHTS:
        feed = shop.folder / "feeds" / ds
        for row in items(shop, ds):
            paths = [feed / str(path) for path in row["images"]]  # type: ignore[attr-defined]
            if not row["is_deleted"] and key(row) not in missing | corrupt:
                assert all(Image.open(path).format == "JPEG" for path in paths)


def test_bad_input_is_in_the_first_feed_as_listed(shop: Shop) -> None:
    feed = shop.folder / "feeds" / FIRST
    by_key: dict[object, list[Row]] = {}
    for row in items(shop, FIRST):
        by_key.setdefault(key(row), []).append(row)
    of = {reason: bad_keys(shop, reason) for reason in {bad.reason for bad in shop.bad_input}}

    assert Counter(bad.reason for bad in shop.bad_input) == {
        "image_corrupt": 2, "image_missing": 1, "control_characters": 1, "title_empty": 1,
        "price_absurd": 1, "event_in_future": 1, "unknown_item": 2,
    }  # fmt: skip
    assert all("\u0007" in str(by_key[bad][0]["title"]) for bad in of["control_characters"])
    assert all(not str(by_key[bad][0]["title"]).strip() for bad in of["title_empty"])
    assert all(float(str(by_key[bad][0]["price"])) > 1e6 for bad in of["price_absurd"])
    assert not any((feed / str(by_key[b][0]["images"][0])).exists() for b in of["image_missing"])  # type: ignore[index]
    unknown = {key(row) for row in events(shop, FIRST)} - set(by_key)
    assert unknown == of["unknown_item"]
    late = [row for row in events(shop, FIRST) if moment(row) >= night_end(FIRST)]
    assert {key(row) for row in late} == of["event_in_future"]


def test_corrupt_pictures_cannot_be_decoded(shop: Shop) -> None:
    feed = shop.folder / "feeds" / FIRST
    by_key = {key(row): row for row in items(shop, FIRST)}

    for bad in bad_keys(shop, "image_corrupt"):
        broken = 0
        for path in by_key[bad]["images"]:  # type: ignore[attr-defined]
            try:
                Image.open(feed / path).load()
            except OSError:
                broken += 1
        assert broken == 1


def test_events_are_of_their_night(shop: Shop) -> None:
    start = datetime(2025, 12, 31, tzinfo=UTC)
    for ds in NIGHTS:
        moments = [moment(row) for row in events(shop, ds) if moment(row) < night_end(ds)]
        assert min(moments) >= start
        assert max(moments) < night_end(ds)
        start = night_end(ds)


def test_no_event_is_in_two_feeds(shop: Shop) -> None:
    counts = Counter(
        (row["user_id"], *key(row), row["action"], row["occurred_at"])
        for ds in NIGHTS
        for row in events(shop, ds)
    )

    assert max(counts.values()) == 1


def test_second_night_has_the_changes_that_truth_lists(shop: Shop) -> None:
    changes = json.loads((shop.folder / "truth" / "changes.json").read_text())[SECOND]
    before = {key(row): row for row in items(shop, FIRST)}

    for row in items(shop, SECOND):
        change = changes["|".join(map(str, key(row)))]
        old = before.get(key(row))
        assert row["is_deleted"] == (change == "removed")
        if change in ("new_product", "new_page"):
            assert old is None
        else:
            assert old is not None
            changed = {name for name in row if row[name] != old[name]}
            assert changed == {
                "repriced": {"price"}, "retitled": {"title"}, "repictured": {"images"},
                "removed": {"is_deleted"},
            }[change]  # fmt: skip
    assert set(changes.values()) == {
        "new_product", "new_page", "repriced", "retitled", "repictured", "removed",
    }  # fmt: skip


def test_a_retitled_page_is_sent_with_the_same_picture(shop: Shop) -> None:
    changes = json.loads((shop.folder / "truth" / "changes.json").read_text())[SECOND]
    feeds = shop.folder / "feeds"

    for row in items(shop, SECOND):
        if changes["|".join(map(str, key(row)))] in ("repriced", "retitled"):
            path = str(row["images"][0])  # type: ignore[index]
            assert (feeds / SECOND / path).read_bytes() == (feeds / FIRST / path).read_bytes()


def test_third_night_has_all_items_again_half_grey_and_one_merchant_untitled(
    shop: Shop,
) -> None:
    state = {key(row): row for row in items(shop, FIRST) if key(row) in truth(shop)}
    for row in items(shop, SECOND):
        state[key(row)] = row
    live = {each for each, row in state.items() if not row["is_deleted"]}
    third = items(shop, THIRD)
    listed = json.loads((shop.folder / "truth" / "changes.json").read_text())[THIRD]["grey"]
    grey = {
        "|".join(map(str, key(row)))
        for row in third
        if row["domain"] == "page"
        and is_grey(shop.folder / "feeds" / THIRD / str(row["images"][0]))  # type: ignore[index]
    }

    assert {key(row) for row in third} == live
    pages = [row for row in third if row["domain"] == "page"]
    assert grey == set(listed)
    assert len(grey) == len(pages) // 2
    assert all((row["title"] == "") == (row["source"] == BROKEN_MERCHANT) for row in third)


def test_demo_config_is_a_valid_configuration(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "demo.toml"
    file.write_text(demo_config(shop.folder, tmp_path / 'ware "house" Ü'), encoding="utf-8")

    config = load_config(file)

    assert config.warehouse == str(tmp_path / 'ware "house" Ü')
    assert {source.kind for source in config.sources} == {"items", "interactions"}
    assert all(
        Path(source.path.replace("{ds}", ds)).is_file()
        for source in config.sources
        for ds in NIGHTS
    )
    assert config.spu.exclusive_sources == ("*",)  # as the shop is made
