import itertools
import re
from collections import Counter

import numpy as np
import pytest

from spark_jobs.demo.shop.chance import stream
from spark_jobs.demo.shop.drawings import drawn_product
from spark_jobs.demo.shop.pictures import live_frames, page_picture, video_frames
from spark_jobs.demo.shop.products import CATEGORIES, STYLES, Product, all_products


@pytest.fixture(scope="module")
def products() -> list[Product]:
    return all_products(3, 120, new=4)


def test_all_products_spread_over_the_categories(products: list[Product]) -> None:
    counts = Counter(product.kind for product in products)

    assert set(counts) == set(CATEGORIES)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_all_products_marks_the_last_as_new(products: list[Product]) -> None:
    assert [product.is_new for product in products] == [False] * 116 + [True] * 4


def test_no_two_products_share_brand_line_and_colour(products: list[Product]) -> None:
    told_apart = Counter((each.brand, each.line, each.colour) for each in products)

    assert max(told_apart.values()) == 1
    assert len({product.code for product in products}) > 0.99 * len(products)


def test_some_products_are_variants_of_a_line(products: list[Product]) -> None:
    families = Counter((product.brand, product.line) for product in products)

    variants = sum(count - 1 for count in families.values())
    assert 0.2 * len(products) < variants < 0.5 * len(products)


def test_colour_and_pattern_show_the_style(products: list[Product]) -> None:
    assert all(product.colour in STYLES[product.style].colours for product in products)
    assert all(product.pattern in STYLES[product.style].patterns for product in products)


def test_a_dearer_price_level_costs_more(products: list[Product]) -> None:
    for kind in CATEGORIES:
        levels: dict[int, list[float]] = {}
        for product in products:
            if product.kind == kind:
                levels.setdefault(product.price_level, []).append(product.price)
        medians = [float(np.median(levels[level])) for level in sorted(levels)]
        assert medians == sorted(medians)


def test_model_codes_look_like_model_codes(products: list[Product]) -> None:
    assert all(re.fullmatch(r"[A-Z]{2,3}-[A-Z]\d{4}[A-Z]", product.code) for product in products)


@pytest.mark.parametrize("kind", sorted(CATEGORIES))
def test_products_of_a_category_differ_visibly(kind: str) -> None:
    drawings = [
        np.asarray(drawn_product(product, 3).convert("RGB").resize((48, 48)), dtype=float)
        for product in all_products(3, 64, new=0)
        if product.kind == kind
    ]

    for one, other in itertools.combinations(drawings, 2):
        assert np.abs(one - other).mean() > 3  # of 255; a picture with itself: 0


def test_a_product_looks_the_same_each_time(products: list[Product]) -> None:
    assert drawn_product(products[0], 3).tobytes() == drawn_product(products[0], 3).tobytes()


def test_frames_of_a_clip_move(products: list[Product]) -> None:
    drawing = drawn_product(products[1], 3)

    frames = video_frames(drawing, 4, stream(3, "clip"))

    assert len({frame.tobytes() for frame in frames}) == 4
    assert {frame.size for frame in frames} == {(128, 128)}


def test_pages_of_a_product_show_it_in_different_ways(products: list[Product]) -> None:
    drawing = drawn_product(products[2], 3)

    pictures = [page_picture(drawing, stream(3, "page", number)) for number in range(5)]

    assert len({picture.tobytes() for picture in pictures}) == 5


def test_live_frames_show_the_first_product_largest(products: list[Product]) -> None:
    first, second = (drawn_product(product, 3) for product in products[:2])

    with_first = live_frames([first, second], 1, stream(3, "live"))[0]
    with_second = live_frames([second, second], 1, stream(3, "live"))[0]
    alone = live_frames([first, first], 1, stream(3, "live"))[0]

    # The same random stream: only the exchanged product differs.
    main = _changed(with_first, with_second)
    aside = _changed(with_first, alone)
    assert main > 1.5 * aside > 0


def _changed(one: object, other: object) -> int:
    difference = np.asarray(one, dtype=int) - np.asarray(other, dtype=int)
    return int((np.abs(difference).sum(axis=2) > 30).sum())
