"""Adapters of the public data sets: counts against the data sets' own figures."""

import csv
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.contracts import INTERACTIONS, ITEMS
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.ingest.datasets import (
    ADAPTERS,
    amazon_beauty14,
    grocery_store,
    online_retail_ii,
    product_matching,
)
from spark_jobs.ingest.datasets.adapter import Adapter, Window
from spark_jobs.ingest_config import Source

EVER = Window(None, datetime(2030, 1, 1, tzinfo=UTC))
YEAR_ONE = Window(None, datetime(2010, 6, 1, tzinfo=UTC))


def test_grocery_photos_link_to_the_page_of_their_class(
    spark: SparkSession, datasets: Path
) -> None:
    folder = datasets / "grocery_store"

    rows = grocery_store.items(spark, str(folder), EVER).toPandas()

    pages, photos = rows[rows.domain == "page"], rows[rows.domain == "video"]
    assert (len(pages), len(photos)) == (81, 5421)
    assert rows.item_id.is_unique
    assert set(photos.linked_item_ids.str[0]) == set(pages.item_id)
    for _, photo in photos.sample(50, random_state=0).iterrows():
        (path,), (page,) = photo.images, photo.linked_item_ids
        assert Path(path).parent.name == page.removeprefix("grocery:")
        assert (folder / path).is_file()


def test_grocery_photos_have_no_text_that_names_their_class(
    spark: SparkSession, datasets: Path
) -> None:
    rows = grocery_store.items(spark, str(datasets / "grocery_store"), EVER)

    texts = rows.filter("domain = 'video'").select("title", "text", "brand", "category").distinct()

    assert [tuple(row) for row in texts.collect()] == [("photo taken in a shop", None, None, None)]


def test_grocery_pages_carry_the_catalogues_attributes(spark: SparkSession, datasets: Path) -> None:
    rows = grocery_store.items(spark, str(datasets / "grocery_store"), EVER)

    (row,) = rows.filter("item_id = 'grocery:Arla-Ecological-Medium-Fat-Milk'").collect()

    assert (row.title, row.brand) == ("Arla Ecological Medium Fat Milk", "ARLA")
    assert row.category == "Packages > Milk"
    assert row.attributes == {"type": "Milk", "volume": "1l"}
    assert row.text


def test_pricerunner_offers_do_not_carry_their_cluster(spark: SparkSession, datasets: Path) -> None:
    folder = datasets / "pricerunner"

    rows = product_matching.pricerunner_items(spark, str(folder), EVER).toPandas()
    gold = product_matching.gold_clusters(folder)

    assert list(rows.columns) == ["domain", "item_id", "source", "title", "category"]
    assert (len(rows), rows.source.nunique()) == (35_311, 306)
    assert set(rows.item_id) == set(gold)
    sizes = Counter(gold.values())
    assert (len(sizes), sum(n * (n - 1) // 2 for n in sizes.values())) == (13_233, 69_926)


@pytest.mark.parametrize(
    ("data_set", "read", "n_items", "n_pairs"),
    [
        ("abt_buy", product_matching.abt_buy_items, 2 * 1076, 1076),
        ("walmart_amazon", product_matching.walmart_amazon_items, 2554 + 22_074, 853),
    ],
)
def test_gold_pairs_are_a_record_of_each_table(
    spark: SparkSession,
    datasets: Path,
    data_set: str,
    read: Callable,
    n_items: int,
    n_pairs: int,
) -> None:
    folder = datasets / "er_two_table" / data_set

    rows = read(spark, str(folder), EVER).toPandas().set_index("item_id")
    gold = product_matching.gold_pairs(folder, data_set)

    assert (len(rows), len(gold)) == (n_items, n_pairs)
    assert rows.index.is_unique
    left, right = product_matching.TABLES[data_set]
    assert all((rows.source[a], rows.source[b]) == (left, right) for a, b in gold)
    assert rows.price.notna().sum() > 0.3 * n_items
    assert rows.title.notna().all()


def test_amazon_events_keep_the_order_of_each_user(spark: SparkSession, datasets: Path) -> None:
    folder = datasets / "amazon_beauty14"
    lines = (folder / "user_sequences.txt").read_text().splitlines()

    events = amazon_beauty14.interactions(spark, str(folder), EVER)

    user = "amazon:A1YJEY40YUW4SE"
    mine = events.filter(F.col("user_id") == user).orderBy("occurred_at").collect()
    assert [f"amazon:{asin}" for asin in lines[0].split()[1:]] == [row.item_id for row in mine]
    assert mine[-1].occurred_at == datetime(2014, 7, 22, 12)
    n_events, n_distinct = events.agg(
        F.count("*"), F.countDistinct("user_id", "item_id", "occurred_at")
    ).first()
    assert n_events == n_distinct == 198_502
    titles = amazon_beauty14.items(spark, str(folder), EVER).select(F.count("*"), F.count("title"))
    with (folder / "items.csv").open(newline="") as file:
        n_titled = sum(bool(row["title"]) for row in csv.DictReader(file))
    assert tuple(titles.first()) == (12_101, n_titled)


def test_online_retail_purchases_equal_those_counted_with_pandas(
    spark: SparkSession, datasets: Path
) -> None:
    folder = datasets / "online_retail_ii"
    lines = pd.read_parquet(folder / "online_retail_2009_2010.parquet")
    lines = lines[pd.to_datetime(lines["InvoiceDate"]) < "2010-06-01"]
    lines["code"] = lines["StockCode"].astype(str).str.strip().str.upper()
    kept = lines[
        lines["Customer ID"].notna()
        & (lines["Quantity"] > 0)
        & (lines["Price"] > 0)
        & ~lines["Invoice"].astype(str).str.startswith("C")
        & lines["code"].str.fullmatch("[0-9]{5}[A-Z]{0,2}")
    ]
    expected = kept.groupby(["Customer ID", "code", "InvoiceDate"])["Quantity"].sum()

    events = online_retail_ii.interactions(spark, str(folder), YEAR_ONE)

    n, total, users = events.agg(F.count("*"), F.sum("value"), F.countDistinct("user_id")).first()
    assert (n, total) == (len(expected), expected.sum())
    assert users == kept["Customer ID"].nunique()


@pytest.mark.slow
def test_online_retail_windows_add_up(spark: SparkSession, datasets: Path) -> None:
    folder = str(datasets / "online_retail_ii")
    cut, end = datetime(2011, 12, 1, tzinfo=UTC), datetime(2011, 12, 6, tzinfo=UTC)

    counts = [
        online_retail_ii.interactions(spark, folder, window).count()
        for window in (Window(None, cut), Window(cut, end), Window(None, end))
    ]

    assert counts[0] + counts[1] == counts[2]
    assert counts[1] > 1000


def test_online_retail_pages_are_one_for_each_code_sold_before_the_nights_end(
    spark: SparkSession, datasets: Path
) -> None:
    rows = online_retail_ii.items(spark, str(datasets / "online_retail_ii"), YEAR_ONE).toPandas()

    assert rows.item_id.is_unique
    page = rows.set_index("item_id").loc["online_retail:85123A"]
    assert page.title == "WHITE HANGING HEART T-LIGHT HOLDER"
    assert 2 < page.price < 4


def test_a_data_set_needs_a_reading_function_and_its_entry(shop, monkeypatch) -> None:
    def shelf(spark: SparkSession, folder: str, window: Window) -> DataFrame:
        lines = Path(folder, "shelf.txt").read_text().splitlines()
        rows = [("page", f"shelf:{i}", title) for i, title in enumerate(lines)]
        return local_frame(spark, rows, "domain string, item_id string, title string")

    monkeypatch.setitem(ADAPTERS, "abt_buy", Adapter(shelf))
    (shop.folder / "shelf.txt").write_text("red chair\n\nblue lamp\n")

    step = shop.run(Source("shelf", "items", str(shop.folder), format="abt_buy"))["shelf"]

    assert (step.rows_in, step.rows_out, step.rows_quarantined) == (3, 2, 1)
    assert [row["title"] for row in shop.staged(ITEMS)] == ["red chair", "blue lamp"]


@pytest.mark.slow
def test_a_second_night_reads_the_events_since_the_last_published_night(shop) -> None:
    (shop.folder / "items.csv").write_text("asin,title,category_path\nA,Soap,Beauty\nB,Oil,\n")
    (shop.folder / "user_sequences.txt").write_text("U A B A\nV B A B A\n")
    sources = [
        Source(name, kind, str(shop.folder), format="amazon_beauty14")
        for name, kind in (("items", "items"), ("events", "interactions"))
    ]

    first = shop.run(*sources, night="2014-07-20")
    shop.publish("2014-07-20")
    second = shop.run(*sources, night="2014-07-21")

    assert (first["events"].rows_out, second["events"].rows_out) == (3, 2)
    assert shop.staged(ITEMS, "2014-07-21") == []
    assert [
        (row["user_id"], row["item_id"], str(row["occurred_at"]))
        for row in shop.staged(INTERACTIONS, "2014-07-21")
    ] == [
        ("amazon:U", "amazon:B", "2014-07-21 12:00:00"),
        ("amazon:V", "amazon:B", "2014-07-21 12:00:00"),
    ]
