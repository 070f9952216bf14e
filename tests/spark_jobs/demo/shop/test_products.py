import re
from collections import Counter

import numpy as np
import pytest

from spark_jobs.demo.shop.products import (
    CATEGORIES,
    STYLES,
    Product,
    all_products,
    happens,
    pick_some,
    stream,
    token,
)


@pytest.fixture(scope="module")
def products() -> list[Product]:
    return all_products(3, 120, new=4)


def test_all_products_are_spread_over_the_categories(products: list[Product]) -> None:
    counts = Counter(product.kind for product in products)

    assert set(counts) == set(CATEGORIES)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_all_products_marks_the_last_as_new(products: list[Product]) -> None:
    assert [product.is_new for product in products] == [False] * 116 + [True] * 4


def test_no_two_products_share_brand_line_and_colour(products: list[Product]) -> None:
    looks = Counter((each.brand, each.line, each.colour) for each in products)

    assert max(looks.values()) == 1
    assert len({product.code for product in products}) > 0.99 * len(products)


def test_some_products_are_variants_of_a_line(products: list[Product]) -> None:
    families = Counter((product.brand, product.line) for product in products)

    variants = sum(count - 1 for count in families.values())
    assert 0.2 * len(products) < variants < 0.5 * len(products)


def test_colour_and_pattern_are_of_the_style(products: list[Product]) -> None:
    assert all(product.colour in STYLES[product.style].colours for product in products)
    assert all(product.pattern in STYLES[product.style].patterns for product in products)


def test_a_higher_price_level_costs_more(products: list[Product]) -> None:
    for kind in CATEGORIES:
        levels: dict[int, list[float]] = {}
        for product in products:
            if product.kind == kind:
                levels.setdefault(product.price_level, []).append(product.price)
        medians = [float(np.median(levels[level])) for level in sorted(levels)]
        assert medians == sorted(medians)


def test_model_codes_have_the_form_of_model_codes(products: list[Product]) -> None:
    assert all(re.fullmatch(r"[A-Z]{2,3}-[A-Z]\d{4}[A-Z]", product.code) for product in products)


def test_stream_gives_the_same_numbers_for_the_same_names() -> None:
    np.testing.assert_array_equal(stream(1, "a", 2).random(5), stream(1, "a", 2).random(5))


def test_stream_depends_on_the_borders_between_names() -> None:
    assert stream(1, "ab", "c").random() != stream(1, "a", "bc").random()
    assert stream(1, "a").random() != stream(2, "a").random()


def test_token_has_the_given_length_and_no_common_start() -> None:
    assert len(token(1, "product-0001", length=12)) == 12
    assert token(1, "product-0001")[:4] != token(1, "product-0002")[:4]


def test_pick_some_never_picks_twice() -> None:
    assert sorted(pick_some(stream(1), "abc", 9)) == ["a", "b", "c"]


def test_happens_with_the_given_probability() -> None:
    rng = stream(1)

    assert 250 < sum(happens(rng, 0.3) for _ in range(1000)) < 350
