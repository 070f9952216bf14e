"""One night with a row of every reason for refusal."""

import json
from collections.abc import Callable, Sequence

import pytest

from spark_jobs.contracts import INTERACTIONS, ITEMS, QUARANTINE
from spark_jobs.ingest.row_checks import PICTURE_REASONS, ROW_REASONS
from spark_jobs.ingest_config import IngestConfig

LIMITS = IngestConfig(max_price=1000.0, max_image_pixels=10_000, max_images=3)
URL = "https://shop.example/a.png?token=secret"
TOO_LONG = "x" * 257


@pytest.fixture(scope="module")
def night_of_errors(open_shop: Callable, item: Callable, event: Callable):
    shop = open_shop()
    shop.picture("pages/good.png")
    shop.picture("pages/wide.png", size=(200, 200))
    shop.picture("outside.png")
    (shop.folder / "pages" / "bad.png").write_bytes(b"no picture")
    pages = shop.write(
        "pages",
        [
            item("good", images=["good.png"]),
            item("pictures", images=["bad.png", "none.png", "good.png", "good.png"]),
            item("pictures 2", images=["../outside.png", "wide.png", URL]),
            item("twice", title="one"),
            item("twice", title="two"),
            item("twice", title=" "),
            item("empty", title="\u00a0 "),
            item("dear", price=1000.5),
            item("negative", price=-1),
            item("nan", price="NaN"),
            item("word", price="cheap"),
            item("free", price=0),
            item("elsewhere", domain="podcast"),
            item("", price=1),
            {"domain": "page", "title": "no key"},
            item("bell\u0007"),
            item("line\nbreak"),
            item(TOO_LONG),
            item("bell in title", title="a\u0007b"),
            item("line in text", text="a\nb\tc"),
            item("unknown", is_deleted=True),
            item("list in title", title=["a"]),
            item("bracket", title="[New] thing"),
            '{"domain": "page", "item_id": "cut of',
            '["a list"]',
            "",
        ],
    )
    events = shop.write(
        "events",
        [
            event(),
            event(item_id="good"),
            event(item_id="good", value=3),
            event(item_id="good", action="stare"),
            event(item_id="good", domain="podcast"),
            event(item_id="good", occurred_at="2026-02-01T00:00:00Z"),
            event(item_id="good", occurred_at="2026-01-31T23:59:59Z"),
            event(item_id="good", occurred_at="2026-01-31T23:00:00-03:00"),
            event(item_id="good", occurred_at="soon"),
            event(item_id="good", occurred_at="0001-01-01T00:00:00Z"),
            event(item_id="good", value=-1, action="cart"),
            event(item_id="good", value="NaN", action="cart"),
            event(item_id="elsewhere", action="cart"),
            event(user_id=" ", item_id="good"),
            event(user_id="u\u0000", item_id="good"),
        ],
    )
    second = shop.write("pages_2", [item("good", title="of the second feed")])
    steps = shop.run(pages, events, second, limits=LIMITS)
    return shop, steps


def refused(shop, source: str, scope: str) -> Sequence[tuple[str, str]]:
    return sorted(
        (key, reason) for s, reason, sc, key in shop.refused() if (s, sc) == (source, scope)
    )


def test_each_bad_item_row_is_in_quarantine_with_its_reason(night_of_errors) -> None:
    shop, _ = night_of_errors

    assert refused(shop, "pages", "row") == sorted(
        [
            ("", "row_unreadable"),
            ("", "row_unreadable"),
            ("page|", "key_missing"),
            ("page|", "key_missing"),
            ("page|bell\u0007", "key_malformed"),
            ("page|line\nbreak", "key_malformed"),
            (f"page|{TOO_LONG}", "key_malformed"),
            ("page|bell in title", "control_characters"),
            ("page|dear", "price_absurd"),
            ("page|empty", "title_empty"),
            ("page|list in title", "value_unreadable"),
            ("page|nan", "price_absurd"),
            ("page|negative", "price_absurd"),
            ("page|twice", "title_empty"),
            ("page|unknown", "unknown_item"),
            ("page|word", "value_unreadable"),
            ("podcast|elsewhere", "domain_unknown"),
        ]
    )


def test_of_two_feeds_with_one_key_the_first_in_the_configuration_wins(night_of_errors) -> None:
    shop, _ = night_of_errors

    assert refused(shop, "pages_2", "row") == [("page|good", "duplicate_key")]
    assert {row["item_id"]: row["title"] for row in shop.staged(ITEMS)}["good"] == "Thing good"


def test_a_bad_picture_is_left_out_and_its_item_accepted(night_of_errors) -> None:
    shop, _ = night_of_errors

    assert refused(shop, "pages", "modality") == [
        ("page|pictures", "image_corrupt"),
        ("page|pictures", "image_missing"),
        ("page|pictures", "image_surplus"),
        ("page|pictures 2", "image_not_fetched"),
        ("page|pictures 2", "image_outside_feed"),
        ("page|pictures 2", "image_too_large"),
    ]
    pictures = {row["item_id"]: len(row["images"]) for row in shop.staged(ITEMS)}
    assert pictures["pictures"] == 1
    assert pictures["pictures 2"] == 0


def test_good_rows_are_accepted(night_of_errors) -> None:
    shop, _ = night_of_errors

    assert [row["item_id"] for row in shop.staged(ITEMS)] == [
        "bracket",
        "free",
        "good",
        "line in text",
        "pictures",
        "pictures 2",
        "twice",
    ]


def test_each_bad_event_is_in_quarantine_with_its_reason(night_of_errors) -> None:
    shop, _ = night_of_errors
    reasons = [reason for source, reason, _, _ in shop.refused() if source == "events"]

    assert sorted(reasons) == [
        "action_unknown",
        "domain_unknown",
        "duplicate_event",
        "event_in_future",
        "event_in_future",
        "event_too_old",
        "key_malformed",
        "key_missing",
        "unknown_item",
        "unknown_item",
        "value_absurd",
        "value_absurd",
        "value_unreadable",
    ]
    taken = [(row["item_id"], row["value"]) for row in shop.staged(INTERACTIONS)]
    assert taken == [("good", 3.0), ("good", None)]


def test_rows_in_are_rows_out_plus_rows_quarantined(night_of_errors) -> None:
    shop, steps = night_of_errors

    counted = {name: (s.rows_in, s.rows_out, s.rows_quarantined) for name, s in steps.items()}
    assert counted == {"pages": (25, 8, 17), "events": (15, 2, 13), "pages_2": (1, 0, 1)}
    assert len(shop.staged(ITEMS)) == 7


def test_payloads_are_the_rows_as_the_source_wrote_them(night_of_errors) -> None:
    shop, _ = night_of_errors
    rows = {
        (row["reason"], row["record_key"]): json.loads(row["payload"])
        for row in shop.tables.read(QUARANTINE).collect()
    }

    assert rows["value_unreadable", "page|word"]["price"] == "cheap"
    assert rows["duplicate_event", "u|page|good|view|2026-01-31 10:00:00"]["action"] == "view"
    assert rows["image_missing", "page|pictures"]["path"] == "none.png"
    assert rows["domain_unknown", "podcast|elsewhere"] == {
        "domain": "podcast",
        "item_id": "elsewhere",
        "title": "Thing elsewhere",
    }


def test_reasons_are_a_closed_set(night_of_errors) -> None:
    shop, _ = night_of_errors

    seen = {reason for _, reason, _, _ in shop.refused()}
    assert seen == {*ROW_REASONS, *PICTURE_REASONS}
