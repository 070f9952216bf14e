"""Resolution of one night, without Spark."""

from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from spark_jobs.config import SpuConfig
from spark_jobs.night import Night
from spark_jobs.spu import nightly
from spark_jobs.spu.nightly import ITEM_COLUMNS, MEMBER_COLUMNS, SPU_COLUMNS, Yesterday
from spark_jobs.spu.resolution import Clusters

FIRST, SECOND, SUNDAY = map(Night.parse, ("2026-02-02", "2026-02-03", "2026-02-08"))
NOTHING = Yesterday(pd.DataFrame(columns=MEMBER_COLUMNS), pd.DataFrame(columns=SPU_COLUMNS))
TITLES = {
    "p1": ("shop_a", "Acme Phone X200 64 GB black"),
    "p2": ("shop_b", "acme x200 phone 64gb"),
    "p3": ("shop_c", "Borealis Toaster BT-4410 silver"),
}


def items(at: datetime, *, video: bool = False, without: str = "") -> pd.DataFrame:
    rows = [
        ("page", key, *source_and_title, None, "Acme", "things", {}, None, None, 10.0, None, at)
        for key, source_and_title in TITLES.items()
        if key != without
    ]
    if video:
        shown = (
            "video",
            "v1",
            "ch",
            "look",
            None,
            None,
            None,
            {},
            None,
            None,
            None,
            ["p3"],
            SECOND.end,
        )
        rows.append(shown)
    return pd.DataFrame(rows, columns=ITEM_COLUMNS)


def resolve(rows: pd.DataFrame, yesterday: Yesterday, night: Night) -> nightly.Resolved:
    return nightly.resolved_spus(rows, yesterday, config=SpuConfig(), night=night)


@pytest.fixture
def yesterday() -> Yesterday:
    first = resolve(items(FIRST.end), NOTHING, FIRST)
    return Yesterday(pd.DataFrame(first.members), pd.DataFrame(first.spus))


@pytest.fixture
def resolutions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of pages of each resolution of all pages."""
    seen = []

    def clusters(pages: pd.DataFrame, _: SpuConfig) -> Clusters:
        seen.append(len(pages))
        return Clusters(np.arange(len(pages)), np.ones(len(pages)))

    monkeypatch.setattr(nightly, "page_clusters", clusters)
    return seen


def test_unchanged_pages_are_not_resolved_again(
    yesterday: Yesterday, resolutions: list[int]
) -> None:
    second = resolve(items(FIRST.end, video=True), yesterday, SECOND)

    assert resolutions == []
    pages = [row for row in second.members if row["domain"] == "page"]
    assert pages == yesterday.members.to_dict("records")
    assert second.events == []
    (linked,) = (row for row in second.members if row["domain"] == "video")
    spu_of = dict(zip(yesterday.members["item_id"], yesterday.members["spu_id"], strict=True))
    assert linked["spu_id"] == spu_of["p3"]


def test_members_stay_where_a_page_of_their_spu_is_removed(
    yesterday: Yesterday, resolutions: list[int]
) -> None:
    second = resolve(items(FIRST.end, without="p2"), yesterday, SECOND)

    assert resolutions == []
    before = yesterday.members[yesterday.members["item_id"] != "p2"]
    assert second.members == before.to_dict("records")


def test_all_pages_are_resolved_where_many_changed(
    yesterday: Yesterday, resolutions: list[int]
) -> None:
    resolve(items(SECOND.end), yesterday, SECOND)

    assert resolutions == [3]


def test_all_pages_are_resolved_on_the_configured_nights(
    yesterday: Yesterday, resolutions: list[int]
) -> None:
    resolve(items(FIRST.end), yesterday, SUNDAY)

    assert resolutions == [3]


def test_a_rerun_of_a_night_gives_the_same_result() -> None:
    first = resolve(items(FIRST.end), NOTHING, FIRST)
    assert {row["item_id"] for row in first.members} == set(TITLES)
    assert resolve(items(FIRST.end), NOTHING, FIRST) == first


def test_linked_spu_is_that_of_the_first_active_page() -> None:
    spu_of_page = {"p2": "s2", "p3": "s3"}

    assert nightly.linked_spu(["p1", "p3", "p2"], spu_of_page) == "s3"
    assert nightly.linked_spu(["p1"], spu_of_page) is None
    assert nightly.linked_spu(None, spu_of_page) is None
