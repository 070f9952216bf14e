"""One product in many shops: pages of equal content are one SPU, however many there are."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spark_jobs.config import SpuConfig
from spark_jobs.spu.copies import stand_ins
from spark_jobs.spu.incremental import joined_clusters
from spark_jobs.spu.resolution import Clusters, page_clusters

CASE = Path(__file__).resolve().parents[4] / "shared" / "cases" / "18-one-product-in-many-shops"
EXCLUSIVE = SpuConfig(exclusive_sources=("*",))


def _page(title: str, shop: str, **columns: object) -> dict[str, object]:
    empty = dict.fromkeys(("text", "brand", "category", "attributes", "spu_id"))
    return {**empty, "source": shop, "title": title, "price": 9.5, **columns}


def _others() -> list[dict[str, object]]:
    kinds = ("chair", "stool", "lamp", "vase", "tray")
    return [_page(f"{kinds[i % 5]} {'abcdefg'[i % 7]}{i}00", f"f{i % 5}") for i in range(60)]


def _lamps(n: int, **columns: object) -> list[dict[str, object]]:
    return [_page("Nordlys LX200 desk lamp white", f"shop{i:03}", **columns) for i in range(n)]


def _sizes(clusters: Clusters, title: str, pages: pd.DataFrame) -> list[int]:
    labels = clusters.label[(pages["title"] == title).to_numpy()]
    return sorted(Counter(labels.tolist()).values(), reverse=True)


@pytest.mark.parametrize("n", [30, 41, 120, 260])
def test_copies_in_any_number_are_one_cluster(n: int) -> None:
    pages = pd.DataFrame(_others() + _lamps(n))

    clusters = page_clusters(pages, EXCLUSIVE)

    assert _sizes(clusters, "Nordlys LX200 desk lamp white", pages) == [n]
    assert clusters.label.tolist()[-n:] == [60] * n
    assert len(set(clusters.label.tolist())) == 61
    assert clusters.confidence[-1] > 0.5


def test_case_and_blanks_do_not_tell_copies_apart() -> None:
    pages = pd.DataFrame(_others() + _lamps(50))
    pages.loc[70, "title"] = "NORDLYS  LX200 desk lamp white "

    assert len(set(page_clusters(pages, EXCLUSIVE).label[60:].tolist())) == 1


def test_a_variant_of_a_copied_page_joins_it() -> None:
    variant = [_page("Nordlys desk lamp LX200, white", "other shop")]
    pages = pd.DataFrame(_others() + _lamps(260) + variant)

    assert page_clusters(pages, EXCLUSIVE).label[-1] == 60


def test_copies_at_prices_far_apart_are_compared() -> None:
    cheap = [dict(page, price=10 + i / 20) for i, page in enumerate(_lamps(60))]
    dear = [dict(page, price=900.0) for page in _lamps(60)]
    pages = pd.DataFrame(cheap + dear)

    stand_in = stand_ins(pages, np.full(120, -1), np.zeros(120, bool), np.full(120, -1))

    assert stand_in.tolist() == [0] * 60 + [60] * 60


def test_an_exclusive_source_has_one_of_the_copies() -> None:
    twice = [_page("Nordlys LX200 desk lamp white", "shop007")]
    pages = pd.DataFrame(_others() + _lamps(260) + twice)

    labels = page_clusters(pages, EXCLUSIVE).label

    assert set(labels[60:-1].tolist()) == {60}
    assert labels[-1] != 60
    assert set(page_clusters(pages, SpuConfig()).label[60:].tolist()) == {60}


def test_the_copy_that_was_in_the_spu_yesterday_stays_in_it() -> None:
    first = [_page("Nordlys LX200 desk lamp white", "shop007")]
    pages = pd.DataFrame(_others() + first + _lamps(260, spu_id="lamp"))

    labels = page_clusters(pages, EXCLUSIVE).label

    assert labels[60] != labels[61]
    assert len(set(labels[61:].tolist())) == 1


@pytest.mark.parametrize("n", [50, 260])
def test_a_new_copy_joins_the_spu_of_the_others(n: int) -> None:
    pages = pd.DataFrame(
        [dict(page, spu_id=f"other {i}") for i, page in enumerate(_others())]
        + _lamps(n, spu_id="lamp")
        + [_page("Nordlys LX200 desk lamp white", "new shop")]
        + [_page("Nordlys LX200 desk lamp white", "shop001")]
    )
    arrived = np.arange(len(pages)) >= 60 + n
    before = np.full(len(pages), 0.9)

    exclusive = joined_clusters(pages, arrived, before, EXCLUSIVE)
    labels = joined_clusters(pages, arrived, before, SpuConfig()).label

    assert exclusive.label.tolist() == [*range(60), *[60] * (n + 1), 60 + n + 1]
    assert set(exclusive.confidence[:-2].tolist()) == {0.9}
    assert labels.tolist() == [*range(60), *[60] * (n + 2)]


def test_settled_copies_of_several_spus_stay_apart_until_all_pages_are_resolved() -> None:
    pages = pd.DataFrame(
        _lamps(50, spu_id="a") + _lamps(50, spu_id="b") + [_page("brass vase", "x", spu_id="c")]
    )
    settled = np.zeros(len(pages), dtype=bool)

    kept = joined_clusters(pages, settled, np.ones(len(pages)), SpuConfig()).label

    assert kept.tolist() == [0] * 50 + [50] * 50 + [100]
    assert len(set(page_clusters(pages, SpuConfig()).label[:100].tolist())) == 1


@pytest.mark.skipif(not CASE.is_dir(), reason=f"{CASE} is not there")
def test_the_commonest_products_of_a_shared_case_are_one_spu_each() -> None:
    lines = (CASE / "feeds" / "i.jsonl").read_text().splitlines()
    known = [json.loads(line) for line in lines]
    pages = pd.DataFrame([_page(row.pop("title"), row.pop("source"), **row) for row in known])

    labels = page_clusters(pages, EXCLUSIVE).label

    for prefix, n in (("SKEW", 260), ("OKAY", 150)):
        of_product = pages["item_id"].str.startswith(prefix).to_numpy()
        assert of_product.sum() == n
        assert len(set(labels[of_product].tolist())) == 1
        assert not np.isin(labels[~of_product], labels[of_product]).any()
