from pathlib import Path
from unittest.mock import Mock

import pytest

from spark_jobs.ingest.feed_counts import (
    EmptyNight,
    FeedCounts,
    feed_problems,
    first_bad_line,
    refuse_unusable,
)
from spark_jobs.ingest.reading.column_checks import UnreadableFeed
from spark_jobs.ingest.reading.feeds import Feed
from spark_jobs.ingest_config import Source

FULL = {"domain": 3, "item_id": 3, "title": 3}


def feed(name: str = "pages", **settings: object) -> Feed:
    return Feed(
        Source(name, **{"kind": "items", "path": "p", **settings}), "/feeds/p", Mock(), Mock()
    )


def test_a_feed_of_corrupt_rows_alone_is_not_of_its_format() -> None:
    (problem,) = feed_problems(
        feed(), FeedCounts(rows=2, corrupt=2, file="file:///feeds/a%20b.jsonl")
    )

    assert "/feeds/a b.jsonl" in problem
    assert "no line is a JSON object" in problem


def test_a_json_column_that_no_row_has_is_missing() -> None:
    (problem,) = feed_problems(feed(), FeedCounts(rows=3, with_value=FULL | {"title": 0}))

    assert "'title' should be string but is missing" in problem


def test_removals_need_no_title() -> None:
    assert (
        feed_problems(feed(), FeedCounts(rows=3, removals=3, with_value=FULL | {"title": 0})) == []
    )


def test_a_column_without_one_value_of_its_type_is_mistyped() -> None:
    wrong = FeedCounts(rows=3, with_value=FULL, unreadable={"price": 3}, example={"price": "cheap"})

    (problem,) = feed_problems(feed(), wrong)

    assert "column 'price' should be double, but none of its 3 values is" in problem
    assert "for example 'cheap'" in problem


@pytest.mark.parametrize(
    "good", [{"unreadable": {"price": 1}}, {"unreadable": {"price": 2}, "n": 1}]
)
def test_a_few_values_of_another_type_are_bad_rows_but_not_a_bad_feed(
    good: dict[str, object],
) -> None:
    counts = FeedCounts(rows=3, with_value=FULL | {"price": good.pop("n", 0)}, **good)

    assert feed_problems(feed(), counts) == []


def test_first_bad_line_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes("a\nb\ncafé\n".encode("latin-1"))
    (tmp_path / "good.csv").write_text("a\ncafé \ufffd\n", encoding="utf-8")

    assert first_bad_line(str(tmp_path / "latin.csv")) == 3
    assert first_bad_line(str(tmp_path / "good.csv")) is None


def test_problems_of_all_feeds_come_in_one_message() -> None:
    counted = {name: FeedCounts(rows=1, corrupt=1) for name in ("one", "two")}

    with pytest.raises(UnreadableFeed, match=r"'one'[^\n]*\n[^\n]*'two'"):
        refuse_unusable([feed("one"), feed("two")], counted)


def test_a_night_without_rows_in_required_feeds_is_refused() -> None:
    feeds = [feed("one"), feed("two", optional=True)]

    with pytest.raises(EmptyNight, match="'one' at '/feeds/p'"):
        refuse_unusable(feeds, {"two": FeedCounts(rows=3, with_value=FULL)})


def test_an_empty_feed_is_accepted_beside_another() -> None:
    refuse_unusable([feed("one"), feed("two")], {"two": FeedCounts(rows=3, with_value=FULL)})


def test_an_empty_snapshot_is_refused_even_beside_another_feed() -> None:
    feeds = [feed("one", mode="snapshot"), feed("two")]

    with pytest.raises(EmptyNight, match="'one'"):
        refuse_unusable(feeds, {"two": FeedCounts(rows=3, with_value=FULL)})


def test_a_night_without_feeds_is_refused() -> None:
    with pytest.raises(EmptyNight, match=r"the configuration, which has no \[\[sources\]\]"):
        refuse_unusable([], {})
