"""Feeds in columns of their own, read by [sources.columns], in every format."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from spark_jobs.config import Config
from spark_jobs.contracts import INTERACTIONS, ITEMS, QUARANTINE
from spark_jobs.ingest.job import run
from spark_jobs.ingest.reading.column_checks import UnreadableFeed
from spark_jobs.ingest_config import IngestConfig, Source
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step
from spark_jobs.warehouse.tables import Tables

LOOSE = IngestConfig(max_refused=0.9)
COLUMNS: dict[str, Any] = {
    "domain": {"value": "page"},
    "item_id": "Artikel",
    "title": "Titel",
    "text": {"column": "Beschreibung", "html": True},
    "price": {"column": "Preis", "decimal": ",", "currency": "EUR"},
    "category": {"column": "Kategorie", "separator": "/"},
    "attributes": ["Farbe", "Größe"],
}
ROWS = [
    (
        "A1",
        "Kaffeemühle",
        "<p>Mahlt <b>fein</b></p>",
        "1.299,00 €",
        "Küche/Mühlen",
        "rot",
        "",
        "4006381333931",
    ),
    ("A2", "Kanne; groß", "", "19,95", "Küche", "", "2 l", "0000000000000"),
    ("A3", "Tasse", "", "5,00 $", "Küche", "", "", ""),
]
HEADER = ("Artikel", "Titel", "Beschreibung", "Preis", "Kategorie", "Farbe", "Größe", "EAN")


def source(path: Path, format_: str, **settings: Any) -> Source:
    given = {
        "name": "pages",
        "kind": "items",
        "path": str(path),
        "format": format_,
        "columns": COLUMNS,
    }
    return TypeAdapter(Source).validate_python(given | settings)


def write_csv(path: Path) -> dict[str, Any]:
    lines = [HEADER, *ROWS]
    quoted = [";".join(f'"{value}"' if ";" in value else value for value in line) for line in lines]
    path.write_bytes("\n".join(quoted).encode("cp1252"))
    return {"delimiter": ";", "encoding": "cp1252"}


def write_jsonl(path: Path) -> dict[str, Any]:
    rows = [{k: v for k, v in zip(HEADER, row, strict=True) if v} for row in ROWS]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {}


def write_parquet(path: Path) -> dict[str, Any]:
    rows = [[value or None for value in column] for column in zip(*ROWS, strict=True)]
    pq.write_table(pa.table(dict(zip(HEADER, rows, strict=True))), path)
    return {}


WRITERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}


@pytest.mark.parametrize("format_", WRITERS)
def test_an_export_is_read_as_its_merchant_wrote_it(
    format_: str, tables: Tables, night: Night, tmp_path: Path
) -> None:
    path = tmp_path / f"export.{format_}"
    settings = WRITERS[format_](path)
    config = Config(sources=(source(path, format_, **settings),), ingest=LOOSE)

    (step,) = run(tables, config, night)

    rows = tables.staged(ITEMS, night).orderBy("item_id").collect()
    one, two = [row.asDict() for row in rows]
    assert (one["domain"], one["title"], one["price"], one["category"], one["gtin"]) == (
        "page",
        "Kaffeemühle",
        1299.0,
        "Küche > Mühlen",
        "04006381333931",
    )
    assert (one["text"], one["attributes"]) == ("Mahlt fein", {"Farbe": "rot"})
    assert (two["title"], two["price"], two["gtin"]) == ("Kanne; groß", 19.95, None)
    refused = tables.recorded(QUARANTINE, night, "ingest").collect()
    assert [(row["record_key"], row["reason"]) for row in refused] == [
        ("page|A3", "value_unreadable")
    ]
    assert json.loads(refused[0]["payload"])["price"] == "5,00 $"
    assert any("'0000000000000'" in line for line in step.remarks)
    assert any("price '5,00 $' (should be double)" in line for line in step.remarks)


def test_events_of_a_clickstream_are_renamed_left_out_or_refused(
    tables: Tables, night: Night, tmp_path: Path
) -> None:
    (tmp_path / "items.csv").write_text("domain,item_id,title\npage,a,A\n")
    events = [
        {"who": "ann", "sku": "a", "event": "ProductView", "ts": 1769860800000},
        {"who": "ann", "sku": None, "event": "Login", "ts": 1769860800000},
        {"who": "bob", "sku": "a", "event": "Refund", "ts": 1769860800000},
    ]
    (tmp_path / "clicks.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    columns = {
        "user_id": "who",
        "domain": {"value": "page"},
        "item_id": "sku",
        "action": {"column": "event", "values": {"ProductView": "view", "Login": ""}},
        "occurred_at": {"column": "ts", "time": "milliseconds"},
    }
    sources = (
        Source(name="items", kind="items", path=str(tmp_path / "items.csv"), format="csv"),
        TypeAdapter(Source).validate_python(
            {
                "name": "clicks",
                "kind": "interactions",
                "path": str(tmp_path / "clicks.jsonl"),
                "columns": columns,
            }
        ),
    )

    steps = run(tables, Config(sources=sources, ingest=LOOSE), night)

    (event,) = tables.staged(INTERACTIONS, night).collect()
    assert (event["user_id"], event["item_id"], event["action"]) == ("ann", "a", "view")
    assert event["occurred_at"].astimezone(UTC) == datetime(2026, 1, 31, 12, tzinfo=UTC)
    clicks = next(step for step in steps if step.name == "clicks")
    assert counts(clicks) == (3, 2, 1)
    assert "left out by [sources.columns] values: 1 rows" in clicks.remarks


@pytest.mark.slow
def test_what_a_snapshot_leaves_out_by_a_rule_is_removed(
    tables: Tables, night: Night, tmp_path: Path
) -> None:
    pages = tmp_path / "pages.csv"
    rules = {"domain": {"column": "state", "values": {"live": "page", "draft": ""}}}
    config = Config(sources=(source(pages, "csv", mode="snapshot", columns=rules),))
    for at, state in ((Night.parse("2026-01-30"), "live"), (night, "draft")):
        pages.write_text(f"state,item_id,title\n{state},a,A\nlive,b,B\n")
        run(tables, config, at)
        tables.copy_staged(ITEMS, at)

    changes = {row["item_id"]: row["is_active"] for row in tables.staged(ITEMS, night).collect()}
    assert changes == {"a": False}


def test_numbers_times_and_paths_of_typed_files_need_no_rule(
    tables: Tables, night: Night, tmp_path: Path
) -> None:
    rows = pa.table({"id": ["a"], "offer": [{"price": 5.5}], "name": ["A"]})
    pq.write_table(rows, tmp_path / "pages.parquet")
    (tmp_path / "pages.jsonl").write_text('{"id": "b", "offer": {"price": 6.5}, "name": "B"}\n')
    columns = {
        "domain": {"value": "page"},
        "item_id": "id",
        "title": "name",
        "price": {"column": "offer.price", "decimal": "."},
    }
    sources = [
        source(tmp_path / f"pages.{format_}", format_, name=format_, columns=columns)
        for format_ in ("parquet", "jsonl")
    ]

    run(tables, Config(sources=tuple(sources)), night)

    prices = {row["item_id"]: row["price"] for row in tables.staged(ITEMS, night).collect()}
    assert prices == {"a": 5.5, "b": 6.5}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"title": "Name"}, "column 'Name' .*title.* is missing; found id, Titel"),
        ({"titel": "Titel"}, "'titel' is no column of items"),
        ({"price": {"decimal": ","}}, "'price' needs either column or value"),
        ({"price": ["id", "Titel"]}, "'price' has a list of columns"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused(
    columns: dict[str, Any], message: str, tables: Tables, night: Night, tmp_path: Path
) -> None:
    (tmp_path / "pages.csv").write_text("id,Titel\na,A\n")
    config = Config(sources=(source(tmp_path / "pages.csv", "csv", columns=columns),))

    with pytest.raises(UnreadableFeed, match=message):
        run(tables, config, night)


def counts(step: Step) -> tuple[int, int, int]:
    return step.rows_in, step.rows_out, step.rows_quarantined
