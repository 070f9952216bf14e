"""The stage on two tiny nights: the first one published, the second one staged and stopped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from spark_jobs.config import Config
from spark_jobs.contracts import (
    AUDIT_RESULTS,
    INTERACTIONS,
    ITEM_EMBEDDINGS,
    ITEMS,
    KINDS,
    NIGHTS,
    SPU_EMBEDDINGS,
    SPU_EVENTS,
    SPU_MEMBERS,
    SPU_PREFERENCE_EMBEDDINGS,
    SPUS,
    USER_EMBEDDINGS,
    Table,
)
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.releases.transitions import create_release, promote
from spark_jobs.report import job
from spark_jobs.report.ledgers import NothingToReport
from spark_jobs.runs.stage import Step, record_steps
from spark_jobs.warehouse.retention import remove_staged
from spark_jobs.warehouse.tables import Tables

FIRST, SECOND = Night.parse("2026-01-30"), Night.parse("2026-01-31")
ENCODERS = {kind: f"{kind}@{number:012x}" for number, kind in enumerate(KINDS)}
NEAR, FAR = [1.0, 0.0], [0.0, 1.0]


@dataclass
class Shop:
    tables: Tables
    pages: Path

    def page(self, night: Night) -> str:
        return (self.pages / f"{night}.html").read_text(encoding="utf-8")


def item(domain: str, item_id: str, title: str) -> dict[str, object]:
    key = {"domain": domain, "item_id": item_id}
    return {**key, "title": title, "source": "s", "content_hash": "h", "row_hash": title}


def member(domain: str, item_id: str, spu_id: str, confidence: float) -> dict[str, object]:
    key = {"domain": domain, "item_id": item_id}
    return {**key, "spu_id": spu_id, "assigned_by": "attributes", "confidence": confidence}


def vector(kind: str, embedding: Sequence[float], **key: object) -> dict[str, object]:
    encoder = {"encoder_version": ENCODERS[kind], "content_hash": "h"}
    return {**key, **encoder, "embedding": list(embedding)}


def spu(spu_id: str, title: str) -> dict[str, object]:
    return {"spu_id": spu_id, "title": title, "category": "Home > Lamps", "n_items": 2}


def event(item_id: str, minute: int) -> dict[str, object]:
    at = FIRST.start.replace(minute=minute)
    of_page = {"user_id": "user-with-a-name", "domain": "page", "item_id": item_id}
    return {**of_page, "action": "click", "occurred_at": at}


ROWS: Mapping[Table, Sequence[Mapping[str, object]]] = {
    ITEMS: [
        {**item("page", "p1", "Lamp page one"), "images": [{"uri": "/gone.jpg", "sha256": "0"}]},
        item("page", "p2", "Lamp page two"),
        item("video", "v1", "Lamp video"),
        item("page", "p3", "Kettle page"),
    ],
    SPUS: [spu("spu_lamp", "The lamp"), spu("spu_kettle", "The kettle")],
    SPU_MEMBERS: [
        member("page", "p1", "spu_lamp", 0.9),
        member("page", "p2", "spu_lamp", 0.31),
        member("video", "v1", "spu_lamp", 1.0),
        member("page", "p3", "spu_kettle", 0.95),
    ],
    ITEM_EMBEDDINGS: [
        vector("cope", NEAR, domain="page", item_id="p1"),
        vector("cope", FAR, domain="page", item_id="p2"),
        vector("cope", FAR, domain="page", item_id="p3"),
    ],
    SPU_EMBEDDINGS: [
        vector("cope", NEAR, spu_id="spu_lamp"),
        vector("cope", [0.6, 0.8], spu_id="spu_kettle"),
    ],
    SPU_PREFERENCE_EMBEDDINGS: [
        vector("learn_item", NEAR, spu_id="spu_lamp"),
        vector("learn_item", FAR, spu_id="spu_kettle"),
    ],
    USER_EMBEDDINGS: [vector("learn_user", [0.8, 0.6], user_id="user-with-a-name", n_events=6)],
    SPU_EVENTS: [{"spu_id": "spu_lamp", "event": "created", "other_spu_id": ""}],
    INTERACTIONS: [event("p1", minute) for minute in range(6)],
}


def record_runs(tables: Tables, night: Night) -> None:
    for stage in ("ingest", "item_embeddings"):
        n = None if stage == "ingest" else 4
        encoder = None if n is None else ENCODERS["cope"]
        counts = {"rows_encoded": n, "rows_reused": n, "encoder_version": encoder}
        step = Step(f"step of {stage}", 5, 5, seconds=1.0, **counts)
        record_steps(tables, night, stage, [step], 2.0)


def record_audit(tables: Tables, night: Night, success: bool) -> None:
    ddl = (
        "table_name string, check_name string, measure string, step string, "
        "encoder_version string, success boolean, expected string, seen string, observed double, "
        "at_least double, at_most double, advice string"
    )
    check = ("items", "few_changes", None, None, None)
    row = (*check, success, "few", "many", 0.5, None, 0.2, "mend the feed")
    tables.record(local_frame(tables.spark, [row], ddl), AUDIT_RESULTS, night, "validation")
    stage, state = ("publish", "published") if success else ("validation", "failed")
    ended = local_frame(tables.spark, [(state, "")], "state string, detail string")
    tables.record(ended, NIGHTS, night, stage)


@pytest.fixture(scope="module")
def shop(spark, tmp_path_factory, contract_frame) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    tables = Tables(spark, str(folder))
    create_release(tables, ENCODERS)
    promote(tables, "r1")

    def publish(table: Table) -> None:
        tables.stage(contract_frame(table, ROWS[table]), table, FIRST)
        tables.copy_staged(table, FIRST)

    run_concurrently(partial(publish, table) for table in ROWS)
    record_runs(tables, FIRST)
    record_audit(tables, FIRST, success=True)
    job.run(tables, Config(), FIRST)
    return Shop(tables, folder / "reports")


def without_time(page: str) -> list[str]:
    return [line for line in page.splitlines() if "Written at" not in line]


def test_the_page_of_a_published_night_shows_what_was_published(shop: Shop) -> None:
    page = shop.page(FIRST)

    for text in ("The lamp", "Lamp video", "step of ingest", "0.31", "interacted before", "0.800"):
        assert text in page
    # The pages of the lamp are at right angles; its nearest SPU is the kettle, at 0.6.
    far = page[page.index('id="far-table"') :]
    assert far.index("0.000") < far.index("</table>")
    assert "0.600" in page[page.index('id="neighbours"') : page.index('id="doubts"')]


def test_user_ids_are_not_on_the_page(shop: Shop) -> None:
    assert "user-with-a-name" not in shop.page(FIRST)
    assert "6 events" in shop.page(FIRST)


def test_a_missing_picture_has_its_reason_in_its_place(shop: Shop) -> None:
    assert "the picture is no longer where it was" in shop.page(FIRST)


def test_the_index_lists_the_night_and_links_it(shop: Shop) -> None:
    index = (shop.pages / "index.html").read_text(encoding="utf-8")

    assert f'<a href="{FIRST}.html">' in index
    assert "published" in index


@pytest.mark.slow
def test_a_stopped_night_shows_what_it_staged_and_an_older_page_stays_the_same(
    shop: Shop, contract_frame
) -> None:
    before = shop.page(FIRST)
    renamed = contract_frame(SPUS, [spu("spu_lamp", "The lamp renamed")])
    shop.tables.stage(renamed, SPUS, SECOND)
    # The first night staged again, and not published.
    shop.tables.stage(contract_frame(SPUS, [spu("spu_lamp", "The lamp retried")]), SPUS, FIRST)
    record_runs(shop.tables, SECOND)
    record_audit(shop.tables, SECOND, success=False)

    job.run(shop.tables, Config(), SECOND)
    job.run(shop.tables, Config(), FIRST)

    stopped = shop.page(SECOND)
    assert "The lamp renamed" in stopped
    assert "mend the feed" in stopped
    assert without_time(shop.page(FIRST)) == without_time(before)
    assert {path.name for path in shop.pages.iterdir()} == {
        f"{FIRST}.html",
        f"{SECOND}.html",
        "index.html",
    }


@pytest.mark.slow
def test_backfills_and_maintenance_leave_the_page_of_a_night_as_it_was(shop: Shop) -> None:
    tables, index = shop.tables, shop.pages / "index.html"
    before = [shop.page(FIRST), index.read_text(encoding="utf-8")]
    backfill = Tables(tables.spark, tables.warehouse, backfills="r2")
    record_runs(backfill, FIRST)
    record_audit(backfill, FIRST, success=False)
    remove_staged(tables, {FIRST: 5})

    job.run(tables, Config(), FIRST)

    after = [shop.page(FIRST), index.read_text(encoding="utf-8")]
    assert list(map(without_time, after)) == list(map(without_time, before))
    assert "1 created" in " ".join(shop.page(FIRST).split())


def test_a_night_that_never_ran_has_no_report(shop: Shop) -> None:
    with pytest.raises(NothingToReport, match=r"2030-01-01.*no stage has run"):
        job.run(shop.tables, Config(), Night.parse("2030-01-01"))


def test_a_report_that_cannot_be_written_says_that_the_night_is_published(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str, page: str) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(job, "write_page", full)

    with pytest.raises(job.ReportFailed) as failed:
        job.run(shop.tables, Config(), FIRST)

    message = str(failed.value)
    assert "no space left on device" in message
    assert "published and served all the same" in message
    assert f"embedmill report --config CONFIG --ds {FIRST}" in message
