import gzip
import json
from pathlib import Path

from spark_jobs.contracts import ITEMS
from spark_jobs.ingest.reading.feed_files import files_read
from spark_jobs.ingest.reading.json_keys import json_keys, keys_of


def test_keys_are_those_of_the_lines_that_are_objects() -> None:
    lines = ['\ufeff{"b": 1}', "[1]", "no JSON", '{"a": {"c": 1}, "b": 2}', "[" * 100_000]

    assert keys_of(lines) == ["b", "a"]


def test_the_first_lines_of_each_file_are_looked_at(tables, tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text('{"a": 1}\n')
    (tmp_path / "two.jsonl.gz").write_bytes(gzip.compress(b'{"b": 1}\n' * 3))

    assert json_keys(tables.spark, str(tmp_path), files_read(tables.spark, str(tmp_path))) == [
        "a",
        "b",
    ]


def test_a_file_of_one_endless_line_is_not_read_whole(tables, tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text(json.dumps({"a": "x" * 20_000_000}))

    assert json_keys(tables.spark, str(tmp_path), files_read(tables.spark, str(tmp_path))) == []


def test_keys_that_differ_by_case_or_blanks_are_read(shop) -> None:
    rows = [
        {"domain": "page", "item_id": "a", "Title": "A", "Price": 1},
        {"domain": "page", "item_id": "b", "title": "B", " price": 2, "pryce": 3},
    ]

    step = shop.take(pages=rows)["pages"]

    assert [(r["title"], r["price"]) for r in shop.staged(ITEMS)] == [("A", 1.0), ("B", 2.0)]
    assert step.remarks == ()
