"""Feeds of each format, and the messages about one that cannot be read."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spark_jobs.contracts import ITEMS
from spark_jobs.ingest.reading.column_checks import UnreadableFeed
from spark_jobs.ingest.reading.feeds import read_feeds, rows_of_kind
from spark_jobs.ingest_config import Source
from spark_jobs.night import Night
from spark_jobs.warehouse.tables import Tables

CSV = """\
domain,item_id,title,attributes,price,images,is_deleted
page,a,"A ""big"" thing
in two lines","{""size"": ""M""}",1.5,"[""a.png""]",
page,b,Other,,,,true
"""


def read(tables: Tables, path: Path, **settings: object) -> list[dict[str, object]]:
    source = Source("feed", **{"kind": "items", "path": str(path), **settings})
    feeds = read_feeds(tables, [source], Night.parse("2026-01-31"))
    rows = rows_of_kind(tables, feeds, source.kind).collect()
    return [row.asDict(recursive=True) for row in rows]


def refusal(tables: Tables, path: Path, **settings: object) -> str:
    with pytest.raises(UnreadableFeed) as raised:
        read(tables, path, **settings)
    return str(raised.value)


def test_csv_carries_lists_and_maps_as_json(tables: Tables, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text(CSV, encoding="utf-8")

    first, second = read(tables, tmp_path / "items.csv", format="csv")

    assert first["title"] == 'A "big" thing\nin two lines'
    assert (first["attributes"], first["price"]) == ({"size": "M"}, 1.5)
    assert (first["images"], first["is_deleted"]) == (["a.png"], None)
    assert (second["attributes"], second["is_deleted"], second["_unreadable"]) == (None, True, [])


def test_all_files_of_a_nights_folder_are_read(tables: Tables, tmp_path: Path) -> None:
    folder = tmp_path / "2026-01-31"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}.csv").write_text(f"domain,item_id,title\npage,{name},T\n")

    rows = read(tables, tmp_path / "{ds}", format="csv")

    assert sorted(str(row["item_id"]) for row in rows) == ["a", "b"]


def test_parquet_and_delta_keep_their_types(tables: Tables, tmp_path: Path) -> None:
    attributes = pa.array([[("size", "M")]], pa.map_(pa.string(), pa.string()))
    table = pa.table(
        {
            "domain": ["page"],
            "item_id": ["a"],
            "title": ["T"],
            "attributes": attributes,
            "price": [3],
        }
    )
    pq.write_table(table, tmp_path / "items.parquet")
    tables.spark.createDataFrame(table).write.format("delta").save(str(tmp_path / "delta"))

    for path, format_ in (("items.parquet", "parquet"), ("delta", "delta")):
        (row,) = read(tables, tmp_path / path, format=format_)
        assert (row["attributes"], row["price"], row["images"]) == ({"size": "M"}, 3.0, None)


def test_moments_without_a_zone_are_utc(tables: Tables, tmp_path: Path) -> None:
    moment = datetime(2026, 1, 31, 10)
    rows = [("u", "page", "a", "view", moment)]
    names = ["user_id", "domain", "item_id", "action", "occurred_at"]
    pd.DataFrame(rows, columns=names).to_parquet(
        tmp_path / "events.parquet", coerce_timestamps="us"
    )
    (tmp_path / "events.jsonl").write_text(
        json.dumps(dict(zip(names, ("u", "page", "a", "view", "2026-01-31T10:00:00"), strict=True)))
    )

    for format_ in ("parquet", "jsonl"):
        path = tmp_path / f"events.{format_}"
        source = Source("feed", "interactions", str(path), format=format_)
        (feed,) = read_feeds(tables, [source], Night.parse("2026-01-31"))
        (row,) = feed.rows.selectExpr("unix_timestamp(occurred_at) AS seconds").collect()
        assert row["seconds"] == moment.replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_nanoseconds_are_read_as_pandas_writes_them(
    tables: Tables, tmp_path: Path, zone: str | None
) -> None:
    moment = pd.Timestamp("2026-01-31T10:00:00.123456789", tz=zone)
    rows = [("u", "page", "a", "view", moment)]
    names = ["user_id", "domain", "item_id", "action", "occurred_at"]
    frame = pd.DataFrame(rows, columns=names)
    stored = f"datetime64[ns, {zone}]" if zone else "datetime64[ns]"
    frame = frame.astype({"occurred_at": stored})
    frame.to_parquet(tmp_path / "events.parquet")
    source = Source("feed", "interactions", str(tmp_path / "events.parquet"), format="parquet")

    (feed,) = read_feeds(tables, [source], Night.parse("2026-01-31"))

    (row,) = feed.rows.selectExpr("unix_micros(occurred_at) AS micros").collect()
    assert row["micros"] == moment.value // 1000  # of UTC where there is no zone


def test_a_missing_csv_column_is_named_with_its_file_and_the_remedy(
    tables: Tables, tmp_path: Path
) -> None:
    (tmp_path / "items.csv").write_text("domain,item_id,titel\npage,a,T\n")

    message = refusal(tables, tmp_path / "items.csv", format="csv")

    assert "items.csv" in message
    assert "column 'title' should be string but is missing" in message
    assert "found domain, item_id, titel" in message
    assert "Add or rename" in message


def test_every_mistyped_parquet_column_is_named(tables: Tables, tmp_path: Path) -> None:
    frame = pd.DataFrame({"domain": ["page"], "item_id": [1], "title": ["T"], "price": ["cheap"]})
    frame.to_parquet(tmp_path / "items.parquet")

    message = refusal(tables, tmp_path / "items.parquet", format="parquet")

    assert "column 'item_id' should be string but is bigint" in message
    assert "column 'price' should be double but is string" in message


def test_a_truncated_parquet_file_is_named(tables: Tables, tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    pd.DataFrame({"domain": ["page"], "item_id": ["a"], "title": ["T"]}).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])

    message = refusal(tables, path, format="parquet")

    assert "items.parquet' cannot be read as parquet" in message
    assert "items.parquet is not a Parquet file" in message


def test_a_parquet_file_with_damaged_pages_is_named(shop) -> None:
    good = shop.write("pages", [{"domain": "page", "item_id": "a", "title": "T"}])
    path = shop.folder / "broken.parquet"
    frame = pd.DataFrame({"domain": ["page"] * 999, "item_id": [str(i) for i in range(999)]})
    frame.assign(title=frame["item_id"]).to_parquet(path, compression=None)
    content = bytearray(path.read_bytes())
    content[4:2000] = bytes(1996)
    path.write_bytes(bytes(content))

    with pytest.raises(UnreadableFeed, match=r"^feed 'broken': .*broken\.parquet' cannot be"):
        shop.run(good, Source("broken", "items", str(path), format="parquet"))

    assert not shop.tables.exists(ITEMS)


def test_an_absent_feed_is_an_error_unless_it_is_optional(tables: Tables, tmp_path: Path) -> None:
    message = refusal(tables, tmp_path / "{ds}.jsonl")

    assert "2026-01-31.jsonl' does not exist" in message
    assert read(tables, tmp_path / "none.jsonl", optional=True) == []


def test_interactions_of_a_data_set_without_them_are_refused(
    tables: Tables, tmp_path: Path
) -> None:
    message = refusal(tables, tmp_path, kind="interactions", format="pricerunner")

    assert "pricerunner has no interactions" in message


def test_repeated_and_invalid_names_of_feeds_are_refused(tables: Tables, tmp_path: Path) -> None:
    path = str(tmp_path / "none")
    sources = [Source("a", "items", path), Source("a", "items", path), Source("b/c", "items", path)]

    with pytest.raises(UnreadableFeed) as raised:
        read_feeds(tables, sources, Night.parse("2026-01-31"))

    assert "'a' is the name of several sources" in str(raised.value)
    assert "'b/c' should have only letters" in str(raised.value)


_TEXTS = {
    "csv": "domain,item_id,title\npage,{0}1,T\npage,{0}2,café\n",
    "jsonl": '{{"domain": "page", "item_id": "{0}1", "title": "T"}}\n'
    '{{"domain": "page", "item_id": "{0}2", "title": "café"}}\n',
}


@pytest.mark.parametrize(("format_", "line"), [("csv", 3), ("jsonl", 2)])
def test_files_that_are_not_utf8_stop_the_night(shop, format_: str, line: int) -> None:
    for name, encoding in (("a", "utf-8"), ("b", "latin-1"), ("c", "cp1252")):
        text = _TEXTS[format_].format(name).replace("T", "\ufffd" if name == "a" else "T")
        (shop.folder / f"{name}.{format_}").write_bytes(text.encode(encoding))

    with pytest.raises(UnreadableFeed) as refused:
        shop.run(Source("pages", "items", str(shop.folder), format=format_))

    files = ", ".join(f"{shop.folder}/{name}.{format_}: line {line}" for name in "bc")
    assert f"feed 'pages': not UTF-8: {files}. Write them as UTF-8" in str(refused.value)
    assert not shop.tables.exists(ITEMS)


@pytest.mark.parametrize("format_", ["csv", "jsonl"])
def test_a_declared_encoding_is_read(shop, format_: str) -> None:
    path = shop.folder / f"b.{format_}"
    path.write_bytes(_TEXTS[format_].format("b").replace("T", "10 €").encode("cp1252"))

    shop.run(Source("pages", "items", str(path), format=format_, encoding="cp1252"))

    assert [row["title"] for row in shop.staged()] == ["10 €", "café"]


@pytest.mark.parametrize("format_", ["csv", "jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_files_of_two_bytes_a_character_are_named(shop, format_: str, encoding: str) -> None:
    (shop.folder / f"a.{format_}").write_text(_TEXTS[format_].format("a"))
    (shop.folder / f"b.{format_}").write_text(_TEXTS[format_].format("b"), encoding=encoding)

    with pytest.raises(UnreadableFeed, match=rf"pages.*b\.{format_} is UTF-16\. Write it as"):
        shop.run(Source("pages", "items", str(shop.folder), format=format_))


def test_a_csv_row_with_more_columns_than_the_header_is_refused(shop) -> None:
    path = shop.folder / "items.csv"
    path.write_text("domain,item_id,title\npage,a,T\npage,b,T,x,y\n")

    step = shop.run(Source("pages", "items", str(path), format="csv"))["pages"]

    assert (step.rows_in, step.rows_out) == (2, 1)
    assert [reason for _, reason, _, _ in shop.refused()] == ["row_unreadable"]
