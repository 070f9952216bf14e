"""The whole platform on a small shop: nights that are published, spared, stopped and run again."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from pyspark.sql import functions as F

from spark_jobs import contracts
from spark_jobs.demo.three_nights import BROKEN_MERCHANT, NIGHTS
from spark_jobs.night_run import StageResult, run_night
from spark_jobs.nights import Night
from spark_jobs.publish.definitions import open_store
from spark_jobs.publish.fetching import online_features
from spark_jobs.publish.online import online_checksum
from spark_jobs.tables import Tables
from validation.checks import AuditFailed

FIRST, SECOND, THIRD = (Night.parse(ds) for ds in NIGHTS)


def served(warehouse) -> dict[str, str]:
    tables = warehouse.tables
    store = open_store(warehouse.config.feature_store.repo, tables.warehouse)
    checksums = {table.name: tables.checksum(table) for table in contracts.PUBLISHED}
    return checksums | online_checksum(store, tables.spark)


def models_read(results: Sequence[StageResult], stage: str) -> int:
    (result,) = (each for each in results if each.stage == stage)
    return sum(step.rows_encoded or 0 for step in result.steps)


def frozen_models_read(results: Sequence[StageResult]) -> int:
    """Contents that a backbone or the language model had to read; heads and towers run again."""
    steps = [step for result in results for step in result.steps]
    caches = ("item_features ", "spu_content_embeddings ")
    return sum(step.rows_encoded or 0 for step in steps if step.name.startswith(caches))


def keys(frame, *columns: str) -> set[tuple[str, ...]]:
    return {tuple(row) for row in frame.select(*columns).collect()}


@pytest.fixture(scope="module")
def story(open_warehouse: Callable, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Three nights in a row, and what was served after each."""
    warehouse = open_warehouse()
    told: dict = {"warehouse": warehouse, "results": {}, "served": {}}
    for night in (FIRST, SECOND):
        told["results"][night] = run_night(warehouse.tables, warehouse.config, night)
        told["served"][night] = served(warehouse)
    with pytest.raises(AuditFailed) as failed:
        run_night(warehouse.tables, warehouse.config, THIRD)
    told["failed"] = failed.value
    told["served"][THIRD] = served(warehouse)
    # Kept as they were: the same nights run again below, with nothing left to encode.
    told["pages"] = tmp_path_factory.mktemp("reports") / "kept"
    shutil.copytree(Path(warehouse.config.warehouse) / "reports", told["pages"])
    return told


def test_every_active_item_with_content_has_a_vector(story: dict) -> None:
    tables: Tables = story["warehouse"].tables
    items = keys(tables.current(contracts.ITEMS), "domain", "item_id")

    assert keys(tables.current(contracts.ITEM_EMBEDDINGS), "domain", "item_id") == items
    assert items


def test_every_spu_has_vectors_codes_and_members(story: dict) -> None:
    tables: Tables = story["warehouse"].tables
    spus = keys(tables.current(contracts.SPUS), "spu_id")

    for table in (
        contracts.SPU_EMBEDDINGS,
        contracts.SPU_PREFERENCE_EMBEDDINGS,
        contracts.SPU_SEMANTIC_IDS,
        contracts.SPU_MEMBERS,
    ):
        assert keys(tables.current(table), "spu_id") == spus


def test_bad_rows_of_the_first_feed_are_all_quarantined(story: dict, trained) -> None:
    import json

    lines = (trained / "truth" / "bad_input.jsonl").read_text().splitlines()
    planted = {(bad["reason"], bad["item_id"]) for bad in map(json.loads, lines)}
    rows = story["warehouse"].tables.read(contracts.QUARANTINE).filter(F.col("ds") == str(FIRST))
    found = rows.select("reason", "record_key").collect()

    missed = {
        (reason, item)
        for reason, item in planted
        if not any(row["reason"] == reason and item in row["record_key"] for row in found)
    }
    assert not missed


def test_the_second_night_encodes_only_what_changed(story: dict) -> None:
    for stage in ("item_embeddings", "spu_embeddings", "user_embeddings"):
        first, second = (models_read(story["results"][night], stage) for night in (FIRST, SECOND))
        assert 0 <= second < first / 2, stage


def test_removed_items_get_tombstones(story: dict, trained) -> None:
    import json

    changes = json.loads((trained / "truth" / "changes.json").read_text())[str(SECOND)]
    removed = {tuple(key.split("|")) for key, change in changes.items() if change == "removed"}
    log = story["warehouse"].tables.read(contracts.ITEM_EMBEDDINGS)
    gone = log.filter((F.col("ds") == str(SECOND)) & ~F.col("is_active"))

    assert keys(gone, "domain", "item_id") == removed
    assert removed
    assert gone.filter("embedding IS NOT NULL").isEmpty()


def test_the_broken_night_is_stopped_and_says_why(story: dict) -> None:
    message = str(story["failed"])

    assert BROKEN_MERCHANT in message
    for word in ("expected", "seen", "title_empty"):
        assert word in message
    failures = {(check.table_name, check.check_name) for check in story["failed"].report.failures}
    assert len(failures) >= 2


def test_the_broken_night_changes_nothing_that_is_served(story: dict) -> None:
    assert story["served"][THIRD] == story["served"][SECOND]
    assert story["served"][SECOND] != story["served"][FIRST]


@pytest.mark.parametrize("night", [SECOND, THIRD], ids=["published", "stopped"])
def test_the_report_of_a_night_is_whole_and_works_in_a_browser(story, visit, night: Night) -> None:
    seen = visit(story["pages"] / f"{night}.html", {"width": 390, "height": 844})
    page = seen.page

    assert (seen.troubles, seen.asked_elsewhere) == ([], [])
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for link in page.eval_on_selector_all(".toc a", "all => all.map(a => a.getAttribute('href'))"):
        filled = page.locator(f"section{link}").locator("tbody tr, dd, use, article")
        assert filled.count() > 1, link
    domains = page.locator("#samples article").first.locator(".domain")
    assert [domains.nth(i).locator("img").count() > 0 for i in range(3)] == [True, True, True]
    assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
    assert Axe().run(page).response["violations"] == []


def test_the_stopped_nights_report_says_first_what_the_audit_said(story: dict, visit) -> None:
    page = visit(story["pages"] / f"{THIRD}.html", {"width": 1400, "height": 900}).page

    told = page.locator("section").first.inner_text()
    for check in story["failed"].report.failures:
        for words in (check.table_name, check.check_name, check.expected, check.seen, check.advice):
            assert words in told


def test_the_index_has_the_three_nights_and_how_they_ended(story: dict, visit) -> None:
    page = visit(story["pages"] / "index.html", {"width": 390, "height": 844}).page

    rows = page.locator("#nights-table tbody tr")
    states = [rows.nth(i).locator("td").first.inner_text().split()[-1] for i in range(3)]
    assert states == ["stopped", "published", "published"]
    page.get_by_role("link", name=str(SECOND)).click()
    assert page.locator("h1").inner_text().startswith(f"Night {SECOND}")


def test_the_same_nights_again_give_the_same_tables(story: dict) -> None:
    warehouse = story["warehouse"]
    versions = {t.name: warehouse.tables.version(t) for t in contracts.PUBLISHED}

    for night in (FIRST, SECOND):
        results = run_night(warehouse.tables, warehouse.config, night)
        assert frozen_models_read(results) == 0

    assert served(warehouse) == story["served"][SECOND]
    assert {t.name: warehouse.tables.version(t) for t in contracts.PUBLISHED} == versions


def test_ranking_reads_the_live_release(story: dict) -> None:
    warehouse = story["warehouse"]
    store = open_store(warehouse.config.feature_store.repo, warehouse.tables.warehouse)
    users = sorted(keys(warehouse.tables.current(contracts.USER_EMBEDDINGS), "user_id"))[:3]
    spus = sorted(keys(warehouse.tables.current(contracts.SPUS), "spu_id"))[:3]
    request = {"user_id": [u for (u,) in users], "spu_id": [s for (s,) in spus]}

    live = online_features(store, request)
    pinned = online_features(store, request, service="ranking__r1")

    assert live.astype(str).equals(pinned.astype(str))
    assert live.notna().all(axis=None)
