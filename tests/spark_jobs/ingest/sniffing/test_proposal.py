"""Proposals for strangers' columns: names in several languages, and how values are written."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from spark_jobs.ingest.sniffing.file_shape import FileShape, file_shape
from spark_jobs.ingest.sniffing.proposal import proposal
from spark_jobs.ingest.sniffing.value_formats import (
    entry_separator,
    level_separator,
    number_format,
    time_format,
)

DATASETS = Path(__file__).resolve().parents[5] / "shared" / "datasets"


def columns_of(texts: Mapping[str, Sequence[str | None]]) -> dict[str, object]:
    proposed = proposal(FileShape("exports/shop-2026-01-31.csv", "csv", texts))
    block = tomllib.loads(proposed.toml())["sources"][0]
    assert block["path"] == "exports/shop-{ds}.csv"
    columns: dict[str, object] = block["columns"]
    return columns


def test_a_german_export_is_read_in_its_own_words() -> None:
    columns = columns_of(
        {
            "Artikelnummer": ["A1", "A2"],
            "Bezeichnung": ["Kaffeemühle", "Kanne"],
            "Beschreibung": ["<p>Mahlt</p>", None],
            "Hersteller": ["Grind", "Grind"],
            "Herstellernummer": ["KM-1", "KM-2"],
            "EAN": ["4006381333931", None],
            "Warengruppe": ["Küche/Kaffee", "Küche"],
            "Preis": ["1.299,00 €", "19,95 €"],
            "Bild 1": ["a.jpg", "b.jpg"],
            "Bild 2": [None, "c.jpg"],
            "Farbe": ["rot", "blau"],
            "Notizen": ["lang " * 30, None],
        }
    )

    assert columns == {
        "domain": {"value": "page"},
        "item_id": "Artikelnummer",
        "title": "Bezeichnung",
        "text": {"column": "Beschreibung", "html": True},
        "brand": "Hersteller",
        "category": {"column": "Warengruppe", "separator": "/"},
        "gtin": "EAN",
        "mpn": "Herstellernummer",
        "attributes": ["Farbe"],
        "price": {"column": "Preis", "decimal": ",", "currency": "EUR"},
        "images": ["Bild 1", "Bild 2"],
    }


def test_a_clickstream_is_one_of_interactions() -> None:
    columns = columns_of(
        {
            "visitorid": ["1", "2"],
            "itemid": ["7", "8"],
            "event": ["view", "addtocart"],
            "timestamp": ["1433221332117", "1433224214164"],
        }
    )

    assert columns == {
        "user_id": "visitorid",
        "domain": {"value": "page"},
        "item_id": "itemid",
        "action": {"column": "event", "values": {"addtocart": "cart", "view": "view"}},
        "occurred_at": {"column": "timestamp", "time": "milliseconds"},
    }


def test_columns_of_the_contract_need_no_rule() -> None:
    texts = {
        "domain": ["page"],
        "item_id": ["a"],
        "title": ["A"],
        "price": ["1.5"],
        "images": ['["a.jpg"]'],
        "attributes": ['{"color": "red"}'],
    }

    proposed = proposal(FileShape("items.csv", "csv", texts))

    assert proposed.rules == {}
    assert proposed.remarks == []


def test_the_number_of_a_shop_is_the_id_where_there_is_no_other() -> None:
    assert columns_of({"sku": ["1"], "name": ["A"]})["item_id"] == "sku"
    assert "item_id" not in columns_of({"sku": ["1"], "item_id": ["2"], "name": ["A"]})


def test_what_is_missing_or_not_read_is_said() -> None:
    proposed = proposal(FileShape("x.csv", "csv", {"name": ["A"], "blob": ["x" * 100]}))

    assert "not read: blob" in proposed.remarks
    assert any(remark.startswith("item_id: no column") for remark in proposed.remarks)


@pytest.mark.parametrize(
    ("samples", "rule"),
    [
        (["1.5", "2"], {}),
        (["1,5", "2"], {"decimal": ","}),
        (["1.299,00", "5"], {"decimal": ","}),
        (["1,299.00", "5"], {"decimal": "."}),
        (["1.299.000", "5"], {"decimal": ","}),
        (["$5.00", "$1,000"], {"decimal": ".", "currency": "USD"}),
        (["5,00 €", "5,00 $"], {"decimal": ","}),
        (["EUR 5,00"], {"decimal": ",", "currency": "EUR"}),
        ([], {}),
    ],
)
def test_number_formats(samples: list[str], rule: dict[str, str]) -> None:
    assert number_format(samples) == rule


@pytest.mark.parametrize(
    ("samples", "rule", "remarks"),
    [
        (["1769860800"], {"time": "seconds"}, 0),
        (["1769860800000"], {"time": "milliseconds"}, 0),
        (["2026-01-31T12:00:00Z"], {}, 0),
        (["2026-01-31 12:00:00"], {}, 1),  # which zone?
        (["31.01.2026 12:00"], {"time": "d.M.yyyy H:mm"}, 1),
        (["01/31/2026"], {"time": "M/d/yyyy"}, 1),
        (["01/02/2026"], {"time": "d/M/yyyy"}, 2),  # or the second of January
        (["last week"], {}, 1),
    ],
)
def test_time_formats(samples: list[str], rule: dict[str, str], remarks: int) -> None:
    found, said = time_format(samples)

    assert (found, len(said)) == (rule, remarks)


@pytest.mark.parametrize(
    ("samples", "separator"),
    [
        (["a.jpg"], None),
        (["a.jpg|b.jpg", "c.jpg"], "|"),
        (["https://x.de/a.jpg,https://x.de/b.jpg"], ","),
        (["https://x.de/a,b.jpg"], None),
        (['["a.jpg", "b.jpg"]'], None),
    ],
)
def test_separators_of_pictures(samples: list[str], separator: str | None) -> None:
    assert entry_separator(samples) == separator


@pytest.mark.parametrize(
    ("samples", "separator"),
    [(["a > b"], None), (["a>b"], ">"), (["a/b", "c"], "/"), (["a"], None), ([], None)],
)
def test_separators_of_levels(samples: list[str], separator: str | None) -> None:
    assert level_separator(samples) == separator


@pytest.mark.skipif(not DATASETS.is_dir(), reason="the public data sets are not beside the project")
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            "er_two_table/walmart_amazon/walmart.csv",
            {"item_id": "id", "mpn": "modelno", "attributes": ["shipweight", "dimensions"]},
        ),
        (
            "online_retail_ii/online_retail_2009_2010.parquet",
            {"user_id": "Customer ID", "item_id": "StockCode", "action": {"value": "purchase"}},
        ),
        ("amazon_beauty14/items.csv", {"item_id": "asin", "category": "category_path"}),
        (
            "pricerunner/pricerunner_aggregate.csv",
            {"item_id": "Product ID", "title": "Product Title", "source": "Merchant ID"},
        ),
    ],
)
def test_public_data_sets_are_read_as_their_makers_exported_them(
    file: str, expected: dict[str, object]
) -> None:
    block = tomllib.loads(proposal(file_shape(str(DATASETS / file))).toml())["sources"][0]

    assert block["columns"].items() >= expected.items()
