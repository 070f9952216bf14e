"""Inputs of extreme shape: each row is taken or refused, and messages stay short."""

import json
from collections.abc import Callable

import pytest

from spark_jobs.contracts import INTERACTIONS
from spark_jobs.ingest_config import Source

LONG = "x" * 10_000


def _counts(step) -> tuple[int, int, int]:
    return step.rows_in, step.rows_out, step.rows_quarantined


@pytest.mark.slow
def test_a_csv_of_thousands_of_columns_is_read_by_name(shop) -> None:
    header = ["domain", *(f"extra {number}" for number in range(3_000)), "item_id", "title"]
    folder = shop.folder / "pages"
    folder.mkdir()
    rows = [["page", *["x"] * 3_000, str(row), f"Chair {row}"] for row in range(5)]
    lines = "\n".join(",".join(row) for row in [header, *rows])
    (folder / "wide.csv").write_text(lines)

    step = shop.run(Source("pages", "items", str(folder), format="csv"))["pages"]

    assert _counts(step) == (5, 5, 0)
    assert [row["title"] for row in shop.staged()] == [f"Chair {row}" for row in range(5)]


def test_ids_of_ten_thousand_characters_are_refused_in_a_short_line(
    shop, item: Callable, event: Callable
) -> None:
    steps = shop.take(
        pages=[item("a"), item(LONG)],
        events=[event(), event(user_id=LONG), event(item_id=LONG)],
    )

    assert _counts(steps["pages"]) == (2, 1, 1)
    assert _counts(steps["events"]) == (3, 1, 2)
    assert {reason for _, reason, _, _ in shop.refused()} == {"key_malformed"}
    remarks = [line for step in steps.values() for line in step.remarks]
    assert any("'page|xxx" in line for line in remarks)
    assert max(map(len, remarks)) < 400
    assert [row["user_id"] for row in shop.staged(INTERACTIONS)] == ["u"]


def test_json_of_any_depth_is_a_row_or_an_unreadable_one(shop, item: Callable) -> None:
    rows = [item(f"flat {number}") for number in range(20)]
    for depth in (100, 900, 5_000, 100_000):
        nested = "[" * depth + "]" * depth
        named = '{"a":' * depth + "1" + "}" * depth
        rows += [
            json.dumps(item(f"list {depth}"))[:-1] + f', "extra": {nested}}}',
            json.dumps(item(f"map {depth}"))[:-1] + f', "attributes": {named}}}',
            "[" * depth,
        ]

    step = shop.take(pages=rows)["pages"]

    assert step.rows_in == step.rows_out + step.rows_quarantined == 32
    taken = {row["item_id"] for row in shop.staged()}
    assert {f"flat {number}" for number in range(20)} | {"list 100", "list 900"} <= taken
    assert max(map(len, step.remarks)) < 400
