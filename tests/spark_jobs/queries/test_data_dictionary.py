"""The data dictionary that is committed is the one that the contracts make."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from spark_jobs.config import FeatureStoreConfig
from spark_jobs.contracts import TABLES
from spark_jobs.publish.feast_definitions import views_by_table
from spark_jobs.queries.data_dictionary import data_dictionary
from spark_jobs.queries.views import VIEWS
from spark_jobs.warehouse.schemas import schema

COMMITTED = Path(__file__).resolve().parents[3] / "docs" / "data-dictionary.md"


@pytest.fixture(scope="module")
def page(spark: SparkSession) -> str:
    return data_dictionary(views_by_table(FeatureStoreConfig().repo))


def section(page: str, name: str) -> str:
    return page.split(f"\n## {name}\n", 1)[1].split("\n## ", 1)[0]


def test_the_committed_page_is_the_one_that_the_contracts_make(page: str) -> None:
    assert COMMITTED.read_text(encoding="utf-8") == page, "run: embedmill dictionary"


def test_every_table_column_and_name_is_in_its_section(page: str) -> None:
    for table in TABLES.values():
        text = section(page, table.name)
        names = [view.name for view in VIEWS.values() if view.table == table]
        assert [name for name in (*schema(table).names, *names) if f"`{name}`" not in text] == []


def test_a_table_says_which_feature_views_serve_it(page: str) -> None:
    assert "feature views: `spu_facts`" in section(page, "spus")
    assert "feature views: `user_preference__<release>`" in section(page, "user_embeddings")
    assert "feature views" not in section(page, "nights")


def test_bars_and_angle_brackets_do_not_break_the_page(page: str) -> None:
    (row,) = [line for line in page.splitlines() if line.startswith("| `record_key`")]

    assert row.replace(r"\|", "").count("|") == 5
    assert r"\<room>" in section(page, "items")
