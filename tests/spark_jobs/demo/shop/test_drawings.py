import itertools

import numpy as np
import pytest

from spark_jobs.demo.shop.drawings import drawn_product
from spark_jobs.demo.shop.products import CATEGORIES, all_products


@pytest.mark.parametrize("kind", sorted(CATEGORIES))
def test_products_of_a_category_differ_visibly(kind: str) -> None:
    drawings = [
        np.asarray(drawn_product(product, 3).convert("RGB").resize((48, 48)), dtype=float)
        for product in all_products(3, 64, new=0)
        if product.kind == kind
    ]

    for one, other in itertools.combinations(drawings, 2):
        assert np.abs(one - other).mean() > 3  # of 255; a picture with itself: 0


def test_a_product_is_drawn_the_same_each_time() -> None:
    (product,) = all_products(3, 1, new=0)

    assert drawn_product(product, 3).tobytes() == drawn_product(product, 3).tobytes()
