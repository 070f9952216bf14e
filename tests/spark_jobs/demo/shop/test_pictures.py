from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spark_jobs.demo.shop.catalogue import Item, page
from spark_jobs.demo.shop.drawings import drawn_product
from spark_jobs.demo.shop.pictures import (
    Studio,
    grey_picture,
    jpeg,
    live_frames,
    page_picture,
    resend,
    video_frames,
)
from spark_jobs.demo.shop.products import Product, all_products, stream
from spark_jobs.demo.shop.wording import MERCHANTS


@pytest.fixture(scope="module")
def products() -> list[Product]:
    return all_products(3, 3, new=0)


@pytest.fixture
def item(products: list[Product]) -> Item:
    return page(products[0], MERCHANTS[0], seed=3)


def test_frames_of_a_clip_move(products: list[Product]) -> None:
    drawing = drawn_product(products[1], 3)

    frames = video_frames(drawing, 4, stream(3, "clip"))

    assert len({frame.tobytes() for frame in frames}) == 4
    assert {frame.size for frame in frames} == {(128, 128)}


def test_page_pictures_of_a_product_differ(products: list[Product]) -> None:
    drawing = drawn_product(products[2], 3)

    pictures = [page_picture(drawing, stream(3, "page", number)) for number in range(5)]

    assert len({picture.tobytes() for picture in pictures}) == 5


def test_live_frames_show_the_first_product_larger_than_the_others(products: list[Product]) -> None:
    first, second = (drawn_product(product, 3) for product in products[:2])

    with_first = live_frames([first, second], 1, stream(3, "live"))[0]
    with_second = live_frames([second, second], 1, stream(3, "live"))[0]
    alone = live_frames([first, first], 1, stream(3, "live"))[0]

    # The same random stream: only the exchanged product differs.
    first_changed = _changed(with_first, with_second)
    other_changed = _changed(with_first, alone)
    assert first_changed > 1.5 * other_changed > 0


def _changed(one: object, other: object) -> int:
    difference = np.asarray(one, dtype=int) - np.asarray(other, dtype=int)
    return int((np.abs(difference).sum(axis=2) > 30).sum())


def test_studio_writes_the_files_that_an_item_names(
    products: list[Product], item: Item, tmp_path: Path
) -> None:
    Studio(products, 3).write([item], tmp_path)

    assert [Image.open(tmp_path / path).format for path in item.pictures] == ["JPEG"]


def test_resend_takes_the_newest_earlier_file_and_none_that_is_missing(
    item: Item, tmp_path: Path
) -> None:
    older, newer, missing = (tmp_path / name for name in ("older", "newer", "missing"))
    for feed in (older, newer):
        (feed / "images").mkdir(parents=True)
        (feed / item.pictures[0]).write_bytes(feed.name.encode())

    resend([item], tmp_path / "third", earlier=[older, newer, missing])
    resend([item], tmp_path / "fourth", earlier=[missing])

    assert (tmp_path / "third" / item.pictures[0]).read_bytes() == b"newer"
    assert not (tmp_path / "fourth" / item.pictures[0]).exists()


def test_resend_makes_pictures_of_grey_items_grey(item: Item, tmp_path: Path) -> None:
    resend([item], tmp_path, earlier=[], grey=[item.key])

    assert (tmp_path / item.pictures[0]).read_bytes() == jpeg(grey_picture())
