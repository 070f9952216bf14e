"""Whatever a shop calls its model codes, the grouping reads them as such."""

import numpy as np
import pandas as pd
import pytest

from spark_jobs.spu.code_attributes import code_attributes
from spark_jobs.spu.token_matrices import catalogue

KINDS = ("kettle", "toaster", "blender", "iron")


def _shop(names: tuple[str, str], n: int = 60) -> pd.DataFrame:
    """Two shops whose titles tell kinds apart, and whose codes tell the products of a kind."""
    rng = np.random.default_rng(5)
    codes = [f"{'ABCD'[i % 4]}K{rng.integers(10**4, 10**5)}-{i}" for i in range(n)]
    titles = ("{0} stainless steel", "{0}, steel, for the kitchen")
    rows = [
        {
            "source": f"shop{shop}",
            "title": titles[shop].format(KINDS[i % 4]),
            "attributes": {names[shop]: codes[i], "size": f"{10 + i}x{20 + i}"},
            "price": 30.0 + i % 3,
        }
        for i in range(n)
        for shop in (0, 1)
    ]
    return pd.DataFrame(rows).assign(text=None, brand=None, category=None, spu_id=None)


@pytest.mark.parametrize("names", [("Ref.", "Kennung"), ("mpn", "xyz")])
def test_the_name_of_the_column_does_not_decide(names: tuple[str, str]) -> None:
    found = [record.codes for record in catalogue(_shop(names)).records]

    assert found == [record.codes for record in catalogue(_shop(("mpn", "model"))).records]
    assert all(len(codes) == 1 for codes in found)


def test_codes_are_told_by_their_values() -> None:
    assert code_attributes(_shop(("Ref.", "Kennung"))) == {"Ref.", "Kennung"}


def test_a_merchants_own_numbers_are_no_codes() -> None:
    shop = _shop(("Ref.", "Kennung"))
    for row, attributes in enumerate(shop["attributes"]):
        attributes["Lager"] = f"{shop['source'][row]}L{row}77"

    assert code_attributes(shop) == {"Ref.", "Kennung"}


def test_sizes_dates_measures_and_common_values_are_no_codes() -> None:
    shop = _shop(("Ref.", "Kennung"))
    for row, attributes in enumerate(shop["attributes"]):
        attributes |= {"seit": f"2026-01-{1 + row // 2 % 28:02}", "Gewicht": f"{row // 2 + 10} kg"}
        attributes |= {
            "Aufrufe": f"{12_000 + row % 7 * row}",
            "Norm": "ISO9001",
            "Farbe": "rot",
            "Masse": f"{row // 2}x40x{row // 2} cm",
        }

    assert code_attributes(shop) == {"Ref.", "Kennung"}


def test_a_few_values_tell_nothing() -> None:
    assert code_attributes(_shop(("Ref.", "Kennung"), n=5)) == frozenset()
    assert code_attributes(_shop(("Ref.", "Kennung")).assign(attributes=None)) == frozenset()
