from pathlib import Path

import pytest

from spark_jobs.config import load_config

CONF = Path(__file__).resolve().parents[3] / "spark_jobs" / "conf"


@pytest.mark.parametrize("name", ["local", "public_datasets"])
def test_example_configurations_can_be_loaded(name: str) -> None:
    config = load_config(CONF / f"{name}.toml")

    assert {source.kind for source in config.sources} == {"items", "interactions"}


def test_public_datasets_are_read_by_their_adapters() -> None:
    sources = load_config(CONF / "public_datasets.toml").sources

    assert {source.format for source in sources} == {
        "grocery_store",
        "online_retail_ii",
        "pricerunner",
    }
