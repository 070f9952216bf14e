"""What lies in the files of feeds is recorded, and held against the rows that Spark reads."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from spark_jobs.engine.local_frames import local_frame
from spark_jobs.ingest.feed_contents import FeedContent, refuse_miscounted
from spark_jobs.ingest.reading.column_checks import UnreadableFeed
from spark_jobs.ingest.reading.feeds import Feed
from spark_jobs.ingest_config import IngestConfig, Source
from spark_jobs.warehouse.suppression_list import suppress

HEADER = b"domain,item_id,title\n"


def counts(step) -> tuple[int | None, ...]:
    return step.rows_in, step.files, step.lines, step.bytes


def test_files_lines_and_bytes_of_each_feed_are_counted(
    shop, item: Callable, event: Callable
) -> None:
    rows = [item("a"), item("b"), item("c")]
    lines = [json.dumps(row).encode() for row in rows]
    shop.write("pages", [])
    odd = b"\xef\xbb\xbf" + lines[0] + b"\r\n \t\r\n\t" + lines[1] + b"\r" + lines[2]
    written = {
        "pages/rows.jsonl": odd,
        "pages/more.jsonl.gz": gzip.compress(b"\xef\xbb\xbf\n" + lines[0] + b"\n\xe2\x80\xa8\n"),
        "pages/mark.jsonl": b"\xef\xbb\xbf",
        "pages/none.jsonl": b"",
        "table.csv": HEADER.replace(b"\n", b"\r\n") + b'\r\npage,d,"D\r\n\xc3\xa9"\r\npage,e,E',
    }
    for name, content in written.items():
        (shop.folder / name).write_bytes(content)
    pd.DataFrame(rows).assign(item_id=["f", "g", "h"]).to_parquet(shop.folder / "typed.parquet")
    stored = shop.folder / "stored"
    columns = "domain string, item_id string, title string"
    frame = local_frame(shop.tables.spark, [("page", "i", "I")], columns)
    frame.write.format("delta").save(str(stored))
    sources = [
        Source("pages", "items", str(shop.folder / "pages")),
        Source("table", "items", str(shop.folder / "table.csv"), format="csv"),
        Source("typed", "items", str(shop.folder / "typed.parquet"), format="parquet"),
        Source("stored", "items", str(stored), format="delta"),
        Source("remote", "items", f"file://{shop.folder}/pages/rows.jsonl"),
        shop.write("events", [event()]),
    ]

    steps = shop.run(*sources)

    size = {name: (shop.folder / name).stat().st_size for name in (*written, "typed.parquet")}
    pages = sum(len(content) for name, content in written.items() if name.startswith("pages"))
    delta = sum(file.stat().st_size for file in stored.glob("*.parquet"))
    assert counts(steps["pages"]) == (5, 4, 8, pages)
    assert counts(steps["table"]) == (2, 1, 5, size["table.csv"])
    assert counts(steps["typed"]) == (3, 1, None, size["typed.parquet"])
    assert counts(steps["stored"]) == (1, 1, None, delta)
    assert counts(steps["remote"]) == (3, 1, None, len(odd))
    assert counts(steps["events"])[:3] == (1, 1, 1)


def test_a_row_that_spark_does_not_tell_from_the_one_before_stops_the_night(shop) -> None:
    file = shop.folder / "pages.csv"
    file.write_bytes(HEADER.replace(b"\n", b"\r\n") + b"page,a,A\npage,b,B\r\npage,c,C\r\n")

    with pytest.raises(UnreadableFeed) as refused:
        shop.run(Source("pages", "items", str(file), format="csv"))

    assert f"feed 'pages': {file}: 3 rows lie in it, and Spark read 2" in str(refused.value)
    assert "End all lines of a file alike" in str(refused.value)
    assert not (shop.folder.parent / "warehouse").exists()


def test_rows_of_forgotten_users_are_read_but_not_counted(shop, item, event) -> None:
    suppress(shop.tables, "u2")

    steps = shop.take(pages=[item("a")], events=[event("u1"), event("u2")])

    assert counts(steps["events"])[:3] == (1, 1, None)
    assert counts(steps["pages"])[:3] == (1, 1, 1)


def test_each_file_of_which_other_rows_were_read_is_named() -> None:
    feed = Feed(Source("pages", "items", "/feeds"), "/feeds", None, None)  # type: ignore[arg-type]
    contents = {"pages": FeedContent(2, 9, 99, {"/feeds/a": 5, "/feeds/b": 4, "/feeds/c": 0})}

    refuse_miscounted([feed], contents, {("pages", "/feeds/a"): 5, ("pages", "/feeds/b"): 4})
    with pytest.raises(UnreadableFeed) as refused:
        refuse_miscounted([feed], contents, {("pages", "/feeds/a"): 6})

    assert "/feeds/a: 5 rows lie in it, and Spark read 6; " in str(refused.value)
    assert "/feeds/b: 4 rows lie in it, and Spark read 0. The file" in str(refused.value)


def test_what_is_too_large_is_refused_for_all_feeds_at_once(shop, item: Callable) -> None:
    sources = [shop.write(name, [item(name), item("b")]) for name in ("pages", "clips")]

    with pytest.raises(UnreadableFeed) as refused:
        shop.run(*sources, limits=IngestConfig(max_feed_bytes=70))

    for name in ("pages", "clips"):
        assert f"feed '{name}': {shop.folder / name / 'rows.jsonl'}: is more than 70 bytes" in str(
            refused.value
        )


def test_a_compression_that_spark_does_not_know_is_named(shop, tmp_path: Path) -> None:
    (tmp_path / "pages.jsonl.xz").write_bytes(b"packed")

    with pytest.raises(UnreadableFeed, match=r"'pages\.jsonl\.xz'\. Spark does not unpack"):
        shop.run(Source("pages", "items", str(tmp_path)))
