"""Feeds with many refused rows: their remarks, and the share that stops the night."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from pyspark.sql import functions as F

from spark_jobs.config import AuditConfig, Config
from spark_jobs.contracts import INTERACTIONS, ITEMS, NIGHTS, QUARANTINE, STAGE_RUNS
from spark_jobs.ingest.feed_counts import FeedCounts
from spark_jobs.ingest.job import run
from spark_jobs.ingest.refusals import (
    FeedsBroken,
    Refusal,
    audit_remarks,
    broken_feeds,
    remarks,
)
from spark_jobs.ingest_config import IngestConfig
from spark_jobs.night import Night
from spark_jobs.runs.stage import run_stage
from spark_jobs.warehouse.retention import NotIngested, check_staged

NIGHT = Night.parse("2026-01-31")


@pytest.mark.parametrize(
    ("counts", "is_broken"),
    [
        (FeedCounts(rows=1000, refused=940), True),
        (FeedCounts(rows=1000, refused=260), False),  # a quarter, within chance
        (FeedCounts(rows=1000, refused=300), True),
        (FeedCounts(rows=10, refused=4), False),
        (FeedCounts(rows=10, refused=10), True),
        (FeedCounts(rows=0), False),
        (FeedCounts(rows=1000, pictures=1000, pictures_refused=1000), True),
        (FeedCounts(rows=1000, pictures=3, pictures_refused=1), False),
        (FeedCounts(rows=1000, pictures=40, pictures_refused=40), True),
    ],
)
def test_a_feed_is_broken_where_its_refused_share_is_surely_over_the_limit(
    counts: FeedCounts, is_broken: bool
) -> None:
    assert bool(broken_feeds({"pages": counts}, Config())) == is_broken


def test_each_exceeded_limit_names_feed_share_limit_and_setting() -> None:
    counted = {
        "events": FeedCounts(rows=1000, refused=941),
        "pages": FeedCounts(rows=1000, refused=997, pictures=50, pictures_refused=50),
        "clips": FeedCounts(rows=100_000),
    }

    problems = broken_feeds(counted, Config(ingest=IngestConfig(max_refused=0.5)))

    assert problems == [
        "feed 'events': 941 of 1,000 rows refused (94.1%); the limit is 50%, and more where there "
        "are few rows ([ingest] max_refused)",
        "feed 'pages': 997 of 1,000 rows refused (99.7%); the limit is 50%, and more where there "
        "are few rows ([ingest] max_refused)",
        "feed 'pages': 50 of 50 pictures refused (100.0%); the limit is 25%, and more where there "
        "are few pictures ([ingest] max_pictures_refused)",
    ]


def test_a_wider_limit_of_the_audit_widens_that_of_ingest() -> None:
    counted = {"pages": FeedCounts(rows=1000, refused=600, pictures=9, pictures_refused=9)}

    assert broken_feeds(counted, Config(audit=AuditConfig(max_quarantined=1.0))) == []


@pytest.mark.parametrize(
    ("counts", "images", "warned"),
    [
        (FeedCounts(rows=1000, refused=100), 0, ["100 rows refused of 1,000 rows (10.0%)"]),
        (FeedCounts(rows=1000, refused=50), 0, []),
        (FeedCounts(rows=20, refused=2), 0, []),  # few are forgiven, as in the audit
        (FeedCounts(rows=1000), 200, ["200 pictures refused of 1,000 rows (20.0%)"]),
        (FeedCounts(rows=0), 0, []),
    ],
)
def test_a_share_that_the_audit_will_not_accept_is_warned_of(
    counts: FeedCounts, images: int, warned: list[str]
) -> None:
    found = [Refusal("pages", "image_missing", "picture", images, "page|a", "a.png")]

    lines = audit_remarks({"pages": counts, "clips": FeedCounts()}, found, 0.05)

    assert [line.removeprefix("WARNING: ").split(", over")[0] for line in lines["pages"]] == warned
    assert all("over audit.max_quarantined (5.0%)" in line for line in lines["pages"])
    assert lines["clips"] == []


def test_ingest_warns_of_what_the_audit_will_stop(shop, item: Callable) -> None:
    strict = replace(shop, max_refused=0.05)
    rows = [item(str(i), title="" if i < 10 else "T") for i in range(80)]

    warned = strict.take(pages=rows)["pages"].remarks[-1]

    assert warned.startswith("WARNING: 10 rows refused of 80 rows (12.5%)")


def test_remarks_count_surplus_pictures_as_named_but_not_as_read() -> None:
    found = [Refusal("pages", "image_surplus", "picture", 4, "page|a", "9.png")]

    assert remarks("pages", FeedCounts(rows=1, pictures=8), found) == [
        "pictures: 12 named, 8 read",
        "  image_surplus 4, such as picture '9.png' of 'page|a'",
    ]


def test_remarks_give_the_share_of_refused_pictures_and_what_to_do() -> None:
    found = [Refusal("pages", "image_missing", "picture", 3, "page|a", "9.png", "Deliver it")]

    assert remarks("pages", FeedCounts(rows=1, pictures=40, pictures_refused=3), found) == [
        "pictures: 40 named, 37 read, 3 refused (7.5%)",
        "  image_missing 3, such as picture '9.png' of 'page|a': Deliver it",
    ]


def test_a_feed_without_refused_rows_has_no_remarks() -> None:
    found = [Refusal("other", "title_empty", None, 4, "page|a", None)]

    assert remarks("pages", FeedCounts(rows=9), found) == []


def test_remarks_give_count_and_example_of_each_reason(
    shop, item: Callable, event: Callable
) -> None:
    shop.picture("pages/a.png")
    pages = [
        item("a", price=1, images=["a.png", "none.png"]),
        item("b", price="cheap"),
        item("c", price="dear"),
        item("d", domain="podcast"),
        {"domain": "page", "id": "e", "title": "T"},
        item("f", title=" "),
        '{"domain": "page", "item_id": "g", ',
    ]
    events = [event(item_id="a"), event(item_id="a", occurred_at="31/01/2026"), "{", event()]

    steps = shop.take(pages=pages, events=events)

    assert list(steps["pages"].remarks) == [
        "rows: 6 of 7 refused",
        "  value_unreadable 2, such as price 'cheap' (should be double) of 'page|b', in rows.jsonl",
        "  domain_unknown 1, such as domain 'podcast' of 'podcast|d', in rows.jsonl",
        "  key_missing 1: item_id is absent or blank, such as in "
        """'{"domain":"page","title":"T"}', in rows.jsonl""",
        """  row_unreadable 1, such as line '{"domain": "page", "item_id": "g", ', in rows.jsonl""",
        "  title_empty 1, such as 'page|f', in rows.jsonl",
        "pictures: 2 named, 1 read, 1 refused (50.0%)",
        "  image_missing 1, such as picture 'none.png' of 'page|a': no such file below the feed's "
        f"folder {str(shop.folder / 'pages')!r} or a media root (none). Deliver it, or add its "
        "folder to media_roots of source 'pages'",
    ]
    assert list(steps["events"].remarks) == [
        "rows: 3 of 4 refused",
        "  duplicate_event 1, such as 'page|a|view|2026-01-31 10:00:00', in rows.jsonl",
        "  row_unreadable 1, in rows.jsonl",
        "  value_unreadable 1, such as occurred_at '31/01/2026' (should be timestamp) of "
        "'page|a|view', in rows.jsonl",
    ]


@pytest.mark.slow
def test_a_media_folder_behind_a_link_is_remarked_and_read_once_it_is_a_root(
    shop, item: Callable
) -> None:
    shop.picture("archive/a.png")
    rows = [item("a", images=["media/a.png"])]
    pages = shop.write("pages", rows)
    archive = shop.folder / "archive"
    (shop.folder / "pages" / "media").symlink_to(archive)

    without = shop.run(pages)["pages"].remarks
    shop.run(replace(pages, media_roots=(str(archive),)))

    assert list(without) == [
        "pictures: 1 named, 0 read, 1 refused (100.0%)",
        "  image_outside_feed 1, such as picture 'media/a.png' of 'page|a': leads to "
        f"{str(archive / 'a.png')!r}, but should lie below the feed's folder "
        f"{str(shop.folder / 'pages')!r} or a media root (none). Add its folder to media_roots of "
        "source 'pages', or move the file",
    ]
    (row,) = shop.staged(ITEMS)
    assert [image["uri"] for image in row["images"]] == [str(archive / "a.png")]


def run_night(shop, **feeds) -> None:
    sources = tuple(shop.write(name, rows) for name, rows in feeds.items())
    run_stage("ingest", run, shop.tables, Config(sources=sources, min_free_gb=0), NIGHT)


@pytest.fixture
def stopped(shop, item: Callable, event: Callable):
    """A night with a good feed, one of bad rows, and one without its pictures."""
    bad = [event(f"u{i}", item_id="g0", occurred_at="31/01/2026 10:00") for i in range(19)]
    feeds = {
        "good": [item(f"g{i}") for i in range(200)],
        "pages": [item(f"p{i}", images=[f"{i}.png"]) for i in range(20)],
        "events": [*bad, event(item_id="g0")],
    }
    with pytest.raises(FeedsBroken) as failed:
        run_night(shop, **feeds)
    return shop, feeds, failed.value


def test_a_broken_feed_stops_the_night_with_its_reasons_and_nothing_staged(stopped) -> None:
    shop, _, failure = stopped

    message = str(failure)
    assert message.startswith("ingest stopped night 2026-01-31: too much of its feeds was refused")
    assert "- feed 'events': 19 of 20 rows refused (95.0%)" in message
    assert "- feed 'pages': 20 of 20 pictures refused (100.0%)" in message
    assert "value_unreadable 19, such as occurred_at '31/01/2026 10:00'" in message
    assert "image_missing 20, such as picture '0.png' of 'page|p0'" in message
    assert not shop.tables.exists(ITEMS)
    assert shop.staged(ITEMS) == shop.staged(INTERACTIONS) == []


def test_a_stopped_night_records_its_quarantine_counts_and_state(stopped) -> None:
    tables = stopped[0].tables

    reasons = tables.read(QUARANTINE).groupBy("source", "reason").count().collect()
    counts = tables.read(STAGE_RUNS).filter("step = 'events'").collect()
    (state,) = tables.read(NIGHTS).collect()
    assert sorted(tuple(row) for row in reasons) == [
        ("events", "value_unreadable", 19),
        ("pages", "image_missing", 20),
    ]
    assert [(row["rows_in"], row["rows_quarantined"]) for row in counts] == [(20, 19)]
    assert (state["stage"], state["state"]) == ("ingest", "failed")
    assert "feed 'events': 19 of 20 rows refused" in state["detail"]


@pytest.mark.slow
def test_no_stage_runs_on_a_stopped_night_until_its_feeds_are_corrected(
    stopped, item: Callable, event: Callable
) -> None:
    shop, feeds, _ = stopped

    with pytest.raises(NotIngested, match="ingest stopped the night"):
        check_staged(shop.tables, NIGHT, "spu")
    check_staged(shop.tables, NIGHT, "report")

    run_night(shop, **feeds | {"pages": [item("p1")], "events": [event(item_id="g0")]})

    check_staged(shop.tables, NIGHT, "spu")
    assert len(shop.staged(ITEMS)) == 201
    assert len(shop.staged(INTERACTIONS)) == 1
    assert shop.tables.read(NIGHTS).filter(F.col("state") == "failed").isEmpty()
