"""Incremental resolution: new and changed pages join SPUs, and all other pages keep theirs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from spark_jobs.config import SpuConfig
from spark_jobs.spu.incremental import joined_clusters
from spark_jobs.spu.resolution import Clusters, page_clusters

PRODUCTS, SHOPS = 40, 5
FORMS = (
    "{brand} {kind} {code} black",
    "{kind} {code} by {brand}",
    "{brand} {code} {kind} 2026 offer",
    "new {brand} {kind} model {code}",
    "{brand} {kind} {code} with warranty",
)


def page(product: int, shop: int) -> dict[str, object]:
    brand, kind = f"maker{product % 5}", ("kettle", "toaster", "radio")[product % 3]
    code = f"{brand[-1]}k{product}0{product * 7 % 10}"
    title = FORMS[shop].format(brand=brand, kind=kind, code=code)
    known = {"source": f"shop{shop}", "title": title, "brand": brand, "category": kind}
    return known | {"text": None, "attributes": None, "price": 9.5, "spu_id": f"spu{product}"}


@pytest.fixture
def pages() -> pd.DataFrame:
    """All pages of all products, each in the SPU of its product."""
    return pd.DataFrame([page(p, s) for p in range(PRODUCTS) for s in range(SHOPS)])


def joined(pages: pd.DataFrame, arrived: Sequence[int], exclusive: Sequence[str] = ()) -> Clusters:
    mask = np.isin(np.arange(len(pages)), arrived)
    before = np.full(len(pages), 0.25)
    return joined_clusters(pages, mask, before, SpuConfig(exclusive_sources=tuple(exclusive)))


def rows_of(product: int) -> list[int]:
    return list(range(product * SHOPS, (product + 1) * SHOPS))


def test_without_new_pages_yesterdays_clusters_stay(pages: pd.DataFrame) -> None:
    clusters = joined(pages, [])

    assert clusters.label.tolist() == [row // SHOPS * SHOPS for row in range(len(pages))]
    assert set(clusters.confidence) == {0.25}


def test_new_pages_join_the_spus_of_their_products(pages: pd.DataFrame) -> None:
    new = [rows_of(3)[4], rows_of(17)[0], rows_of(17)[2]]
    pages.loc[new, "spu_id"] = None

    clusters = joined(pages, new)

    assert clusters.label.tolist() == [row // SHOPS * SHOPS for row in range(len(pages))]
    assert (clusters.confidence[new] > 0.4).all()
    assert set(np.delete(clusters.confidence, new)) == {0.25}


def test_pages_of_a_new_product_become_one_cluster(pages: pd.DataFrame) -> None:
    new = rows_of(9)
    pages.loc[new, "spu_id"] = None

    assert set(joined(pages, new).label[new]) == {new[0]}


def test_a_page_that_now_shows_another_product_changes_its_spu(pages: pd.DataFrame) -> None:
    moved = rows_of(3)[4]
    pages.loc[moved, ["title", "brand", "category"]] = pages.loc[
        rows_of(20)[4], ["title", "brand", "category"]
    ]

    label = joined(pages, [moved]).label

    assert set(label[rows_of(20)]) == {label[moved]}
    assert set(label[rows_of(3)[:4]]) == {rows_of(3)[0]}


def test_a_page_with_a_small_change_stays_in_its_spu(pages: pd.DataFrame) -> None:
    changed = rows_of(3)[4]
    pages.loc[changed, "title"] += " (updated)"

    assert joined(pages, [changed]).label[changed] == rows_of(3)[0]


def test_spus_of_unchanged_pages_are_neither_merged_nor_split(pages: pd.DataFrame) -> None:
    """Even a wrong grouping stays: four products in one SPU, and one product in two."""
    pages.loc[pages.index < 4 * SHOPS, "spu_id"] = "mixed"
    pages.loc[rows_of(30)[:2], "spu_id"] = "half"
    new = rows_of(39)[4]
    pages.loc[new, "spu_id"] = None

    label = joined(pages, [new]).label

    assert set(label[: 4 * SHOPS]) == {0}
    assert label[rows_of(30)].tolist() == [150, 150, 152, 152, 152]


def test_an_exclusive_source_has_one_page_a_product(pages: pd.DataFrame) -> None:
    second = pd.DataFrame([page(3, 4) | {"spu_id": None}])
    pages = pd.concat([pages, second], ignore_index=True)
    last = len(pages) - 1

    assert joined(pages, [last]).label[last] == rows_of(3)[0]
    assert joined(pages, [last], exclusive=["*"]).label[last] == last


def test_a_page_can_join_a_product_with_more_pages_than_candidates(pages: pd.DataFrame) -> None:
    many = pd.DataFrame([page(3, shop % SHOPS) for shop in range(150)])
    pages = pd.concat([pages, many], ignore_index=True)
    new = len(pages) - 1
    pages.loc[new, "spu_id"] = None

    assert joined(pages, [new]).label[new] == rows_of(3)[0]


def test_new_pages_join_the_spus_that_a_resolution_of_all_pages_gives_them(
    pages: pd.DataFrame,
) -> None:
    without_spus = pages.assign(spu_id=None)
    everything = page_clusters(without_spus, SpuConfig()).label
    new = list(range(0, len(pages), 20))
    yesterday = without_spus.assign(spu_id=[f"spu{label}" for label in everything])
    yesterday.loc[new, "spu_id"] = None

    label = joined(yesterday, new).label

    pairs = pd.crosstab(everything, label)
    assert (pairs > 0).sum(axis=1).max() == 1
