"""Several changes of one item in a night: the newest is taken, a removal included."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from spark_jobs.contracts import ITEMS
from spark_jobs.ingest.reading.column_checks import UnreadableFeed
from spark_jobs.ingest_config import Source

NEXT = "2026-02-01"


def prices(shop) -> dict[str, float]:
    return {row["item_id"]: row["price"] for row in shop.staged(ITEMS) if row["is_active"]}


def test_the_last_change_in_a_file_is_taken(shop, item: Callable) -> None:
    first = [item(f"{i}", price=10) for i in range(5)]
    second = [item(f"{i}", price=20) for i in range(5)]

    step = shop.take(pages=[*first, *second])["pages"]

    assert prices(shop) == dict.fromkeys("01234", 20.0)
    assert (step.rows_in, step.rows_out, step.rows_quarantined) == (10, 10, 0)
    assert step.remarks == ("changes: 5 replaced by a later one of the same item",)
    assert shop.refused() == []


@pytest.mark.slow
def test_a_removal_after_a_change_removes_and_one_before_it_does_not(shop, item: Callable) -> None:
    shop.take(pages=[item("known"), item("again")])
    shop.publish()
    gone, back = item("known", is_deleted=True), item("again", is_deleted=True)

    step = shop.take(
        NEXT,
        pages=[
            item("known", price=5),
            gone,
            back,
            item("again", price=6),
            item("one night", price=1),
            item("one night", is_deleted=True),
            item("never there", is_deleted=True),
        ],
    )["pages"]

    assert shop.changes(NEXT) == [("again", True), ("known", False)]
    assert (step.rows_in, step.rows_quarantined) == (7, 1)
    assert shop.refused() == [("pages", "unknown_item", "row", "page|never there")]


def test_files_of_a_folder_follow_each_other_by_name(shop, item: Callable) -> None:
    folder = shop.folder / "pages"
    folder.mkdir()
    for name, price in (("part-2", 2), ("part-1", 1), ("part-3", 3)):
        (folder / f"{name}.jsonl").write_text(json.dumps(item("a", price=price)))

    shop.run(Source("pages", "items", str(folder)))

    assert prices(shop) == {"a": 3.0}


@pytest.mark.parametrize(
    ("format_", "versions"),
    [
        ("jsonl", (10, 9)),
        ("csv", (10, 9)),
        ("parquet", (10, 9)),
        ("jsonl", ("2026-01-31T10:00:00Z", "2026-01-31T11:00:00+02:00")),
        ("csv", ("b", "a")),
    ],
)
def test_the_declared_order_comes_before_that_of_the_file(
    shop, format_: str, versions: tuple[object, object]
) -> None:
    rows = pd.DataFrame(
        [("page", "a", "new", versions[0]), ("page", "a", "old", versions[1])],
        columns=["domain", "item_id", "title", "Changed At"],
    )
    path = shop.folder / f"rows.{format_}"
    if format_ == "parquet":
        rows.to_parquet(path)
    elif format_ == "csv":
        rows.to_csv(path, index=False)
    else:
        rows.to_json(path, orient="records", lines=True)

    shop.run(Source("pages", "items", str(path), format=format_, order_by="Changed At"))

    assert [row["title"] for row in shop.staged(ITEMS)] == ["new"]


def test_the_order_is_found_however_json_lines_spell_its_key(shop, item: Callable) -> None:
    source = shop.write("pages", [item("a", Price=2, title="new"), item("a", price=1, title="old")])

    shop.run(replace(source, order_by="price"))

    assert [(row["title"], row["price"]) for row in shop.staged(ITEMS)] == [("new", 2.0)]


def test_an_order_that_no_column_has_is_refused(shop) -> None:
    path = Path(shop.folder, "rows.csv")
    path.write_text("domain,item_id,title\npage,a,A\n")

    with pytest.raises(UnreadableFeed, match=r"column 'version' \(\[\[sources\]\] order_by\)"):
        shop.run(Source("pages", "items", str(path), format="csv", order_by="version"))


def test_two_rows_of_a_snapshot_are_no_changes(shop, item: Callable) -> None:
    step = shop.take(snapshot=[item("a", price=1), item("a", price=2)])["snapshot"]

    assert prices(shop) == {"a": 2.0}
    assert (step.rows_out, step.rows_quarantined) == (1, 1)
    assert shop.refused() == [("snapshot", "duplicate_key", "row", "page|a")]


def test_a_change_that_is_refused_leaves_the_one_before_it(shop, item: Callable) -> None:
    shop.take(pages=[item("a", price=1), item("a", price=-1)])

    assert prices(shop) == {"a": 1.0}
    assert shop.refused() == [("pages", "price_absurd", "row", "page|a")]
