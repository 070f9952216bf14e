"""Two nights over a sample of three public data sets in one warehouse, published and audited."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs import contracts
from spark_jobs.config import load_config
from spark_jobs.night import Night
from spark_jobs.releases.transitions import create_release, promote
from spark_jobs.runs.night_run import STAGES, run_night, stages_between
from spark_jobs.warehouse.tables import Tables

pytestmark = pytest.mark.slow

FIRST, SECOND = Night.parse("2011-11-30"), Night.parse("2011-12-05")
CLASSES, PHOTOS_A_CLASS, OFFERS, STOCK_CODES, CUSTOMERS = 8, 4, 160, 120, 80

CONFIG = """
warehouse = "{folder}/warehouse"
[[sources]]
name = "grocery"
kind = "items"
format = "grocery_store"
path = "{folder}/grocery_store"
mode = "snapshot"
[[sources]]
name = "pricerunner"
kind = "items"
format = "pricerunner"
path = "{folder}/pricerunner"
mode = "snapshot"
[[sources]]
name = "retail"
kind = "items"
format = "online_retail_ii"
path = "{folder}/online_retail_ii"
mode = "snapshot"
[[sources]]
name = "purchases"
kind = "interactions"
format = "online_retail_ii"
path = "{folder}/online_retail_ii"
[spu]
exclusive_sources = ["*"]
[cope]
epochs = 3
[learn]
epochs = 2
[semantic_ids]
codebook_size = 64
"""


def sample_grocery(source: Path, target: Path) -> None:
    with open(source / "classes.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    chosen = [row for row in rows if int(row[1]) < CLASSES]
    target.mkdir()
    with open(target / "classes.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *chosen])
    for row in chosen:
        folder = Path(row[4].lstrip("/")).parent
        shutil.copytree(source / folder, target / folder)
    for split in ("train", "val", "test"):
        lines = (source / f"{split}.txt").read_text().splitlines()
        kept: list[str] = []
        for number in map(str, range(CLASSES)):
            of_class = [line for line in lines if line.split(", ")[1] == number]
            kept += of_class[: PHOTOS_A_CLASS if split == "train" else 1]
        (target / f"{split}.txt").write_text("\n".join(kept) + "\n")
        for path in (line.split(", ")[0] for line in kept):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / path, target / path)


def sample_pricerunner(source: Path, target: Path) -> None:
    target.mkdir()
    lines = (source / "pricerunner_aggregate.csv").read_text(encoding="utf-8").splitlines()
    (target / "pricerunner_aggregate.csv").write_text("\n".join(lines[: OFFERS + 1]) + "\n")


def sample_retail(source: Path, target: Path) -> None:
    target.mkdir()
    later = pd.read_parquet(source / "online_retail_2010_2011.parquet")
    codes = later["StockCode"].astype(str).value_counts().index[:STOCK_CODES]
    customers = later["CustomerID"].value_counts().index[:CUSTOMERS]
    names = {"online_retail_2010_2011": "CustomerID", "online_retail_2009_2010": "Customer ID"}
    for name, customer in names.items():
        rows = pd.read_parquet(source / f"{name}.parquet")
        mine = rows["StockCode"].astype(str).isin(codes) & rows[customer].isin(customers)
        rows[mine].to_parquet(target / f"{name}.parquet", coerce_timestamps="us")


@pytest.fixture(scope="module")
def warehouse(
    datasets: Path, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Tables, dict]:
    """Two nights, with encoders trained on the first."""
    from spark_jobs.training.cope_job import train_cope
    from spark_jobs.training.learn_job import train_learn

    folder = tmp_path_factory.mktemp("public")
    samplers: dict[str, Callable[[Path, Path], None]] = {
        "grocery_store": sample_grocery,
        "pricerunner": sample_pricerunner,
        "online_retail_ii": sample_retail,
    }
    for name, sample in samplers.items():
        sample(datasets / name, folder / name)
    (folder / "config.toml").write_text(CONFIG.format(folder=folder))
    config = load_config(folder / "config.toml")
    tables = Tables(spark, config.warehouse)
    results = {FIRST: run_night(tables, config, FIRST, stages=stages_between("ingest", "spu"))}
    encoders = train_cope(tables, config, FIRST) | train_learn(tables, config, FIRST)
    create_release(tables, encoders)
    promote(tables, "r1")
    results[FIRST] += run_night(
        tables, config, FIRST, stages=stages_between("item_embeddings", STAGES[-1])
    )
    results[SECOND] = run_night(tables, config, SECOND)
    return tables, results


def test_items_of_all_three_have_vectors(warehouse: tuple[Tables, dict]) -> None:
    tables, _ = warehouse
    items = tables.current(contracts.ITEMS).groupBy("domain").count().collect()
    counts = {row["domain"]: row["count"] for row in items}

    lists = Path(tables.warehouse).parent.glob("grocery_store/*.txt")
    photos = sum(len(file.read_text().splitlines()) for file in lists)
    assert counts["video"] == photos > CLASSES * PHOTOS_A_CLASS
    assert counts["page"] >= CLASSES + OFFERS
    assert tables.current(contracts.ITEM_EMBEDDINGS).count() == sum(counts.values())


def test_photos_join_the_spu_of_their_page(warehouse: tuple[Tables, dict]) -> None:
    tables, _ = warehouse
    members = tables.current(contracts.SPU_MEMBERS)

    photos = members.filter("domain = 'video'")
    assert photos.filter("assigned_by != 'link'").isEmpty()
    assert photos.select("spu_id").distinct().count() == CLASSES


def test_the_second_night_brings_only_the_days_between(warehouse: tuple[Tables, dict]) -> None:
    tables, _ = warehouse
    purchases = (
        tables.read(contracts.INTERACTIONS)
        .groupBy("ds")
        .agg(F.count("*").alias("rows"), F.min("occurred_at").alias("first"))
    )
    by_night = {str(row["ds"]): row for row in purchases.collect()}

    assert set(by_night) == {str(FIRST), str(SECOND)}
    assert by_night[str(SECOND)]["rows"] < by_night[str(FIRST)]["rows"] / 10
    assert by_night[str(SECOND)]["first"].replace(tzinfo=FIRST.end.tzinfo) >= FIRST.end


def test_every_row_is_accounted_for(warehouse: tuple[Tables, dict]) -> None:
    _, results = warehouse
    steps = [step for night in results.values() for result in night for step in result.steps]

    assert steps
    assert all(step.rows_in == step.rows_out + step.rows_quarantined for step in steps)
