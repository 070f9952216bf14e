"""Resolution of all pages: independent of their order, and stable from night to night."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_jobs.config import SpuConfig
from spark_jobs.night import Night
from spark_jobs.spu.nightly import (
    ITEM_COLUMNS,
    MEMBER_COLUMNS,
    SPU_COLUMNS,
    Resolved,
    Yesterday,
    resolved_spus,
)
from spark_jobs.spu.resolution import HYSTERESIS, page_clusters, with_hysteresis

_CONFIG = SpuConfig(exclusive_sources=("*",))
_NIGHT = Night.parse("2026-01-31")
_NOTHING = Yesterday(
    pd.DataFrame(columns=list(MEMBER_COLUMNS)), pd.DataFrame(columns=list(SPU_COLUMNS))
)
_FORMS = (
    "{brand} {kind} {code} black",
    "{kind} {code} by {brand}",
    "{brand} {code} {kind} 2026 offer",
)


def _shop(n_products: int, night: Night = _NIGHT) -> pd.DataFrame:
    rows = []
    for product in range(n_products):
        brand, kind = f"maker{product % 5}", ("kettle", "toaster", "radio")[product % 3]
        code = f"{brand[-1]}k{product}0{product * 7 % 10}"
        for source, form in enumerate(_FORMS):
            title = form.format(brand=brand, kind=kind, code=code)
            rows.append(
                ("page", f"{product:03}-{source}", f"shop{source}", title, None, brand, kind, None)
            )
    items = pd.DataFrame(rows, columns=list(ITEM_COLUMNS[:8]))
    return items.assign(price=9.5, linked_item_ids=None, event_timestamp=night.end)


def _yesterday(resolved: Resolved) -> Yesterday:
    members = pd.DataFrame(resolved.members, columns=list(MEMBER_COLUMNS))
    return Yesterday(members, pd.DataFrame(resolved.spus, columns=list(SPU_COLUMNS)))


def test_every_product_becomes_one_spu() -> None:
    tonight = resolved_spus(_shop(30), _NOTHING, config=_CONFIG, night=_NIGHT)

    products = {(row["spu_id"], row["item_id"][:3]) for row in tonight.members}
    assert len(products) == len(tonight.spus) == 30
    assert {row["n_items"] for row in tonight.spus} == {3}
    assert all(0 <= row["confidence"] <= 1 for row in tonight.members)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    items = _shop(12)
    shuffled = items.sample(frac=1, random_state=seed)

    expected = resolved_spus(items, _NOTHING, config=_CONFIG, night=_NIGHT)

    assert resolved_spus(shuffled, _NOTHING, config=_CONFIG, night=_NIGHT) == expected


def test_an_unchanged_night_changes_nothing() -> None:
    first = resolved_spus(_shop(12), _NOTHING, config=_CONFIG, night=_NIGHT)
    tomorrow = Night(_NIGHT.ds + timedelta(days=1))

    second = resolved_spus(_shop(12), _yesterday(first), config=_CONFIG, night=tomorrow)

    assert second.events == []
    assert second.spus == first.spus
    assert [r["spu_id"] for r in second.members] == [r["spu_id"] for r in first.members]


def test_new_products_do_not_change_the_records_of_others() -> None:
    first = resolved_spus(_shop(12), _NOTHING, config=_CONFIG, night=_NIGHT)
    tomorrow = Night(_NIGHT.ds + timedelta(days=1))
    items = _shop(15, tomorrow)
    items.loc[:35, "event_timestamp"] = _NIGHT.end

    second = resolved_spus(items, _yesterday(first), config=_CONFIG, night=tomorrow)

    before = {row["spu_id"]: row for row in first.spus}
    after = {row["spu_id"]: row for row in second.spus}
    assert {spu_id: after[spu_id] for spu_id in before} == before
    assert [event["event"] for event in second.events] == ["created"] * 3


def test_yesterdays_grouping_is_kept_unless_scores_clearly_disagree() -> None:
    scores = np.array([0.5, 0.5, 0.5, 0.99])
    spu_l, spu_r = np.array([1, 1, -1, 2]), np.array([1, 2, 1, 2])

    steadied = with_hysteresis(scores, spu_l, spu_r)

    assert steadied == pytest.approx([0.5 + HYSTERESIS, 0.5 - HYSTERESIS, 0.5, 1.0])


def test_videos_follow_the_first_link_to_an_active_page() -> None:
    videos = pd.DataFrame(
        [
            ("video", "v1", "studio", "a film", ["absent", "002-0", "001-0"]),
            ("live", "l1:0-9", "room", "talk", None),
        ],
        columns=["domain", "item_id", "source", "title", "linked_item_ids"],
    ).assign(
        text=None,
        brand=None,
        category=None,
        attributes=None,
        price=np.nan,
        event_timestamp=_NIGHT.end,
    )
    items = pd.concat([_shop(4), videos], ignore_index=True)

    tonight = resolved_spus(items, _NOTHING, config=_CONFIG, night=_NIGHT)

    by_item = {row["item_id"]: row for row in tonight.members}
    assert by_item["v1"]["spu_id"] == by_item["002-0"]["spu_id"]
    assert (by_item["v1"]["assigned_by"], by_item["002-0"]["assigned_by"]) == ("link", "attributes")
    assert "l1:0-9" not in by_item
    assert tonight.n_unassigned == 1


def test_no_items_give_no_spus() -> None:
    tonight = resolved_spus(_shop(4).head(0), _NOTHING, config=_CONFIG, night=_NIGHT)

    assert (tonight.spus, tonight.members, tonight.events, tonight.n_unassigned) == ([], [], [], 0)


def test_a_single_page_is_an_spu_of_its_own() -> None:
    pages = _shop(1).head(1).assign(spu_id=None)

    clusters = page_clusters(pages, _CONFIG)

    assert (clusters.label.tolist(), clusters.confidence.tolist()) == ([0], [1.0])
