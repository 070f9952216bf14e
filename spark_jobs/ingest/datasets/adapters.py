"""Adapters: which public data sets can be read in the contract's columns?

To add one: a module that turns the data set's folder into a frame in the columns of a feed
(``spark_jobs/ingest/columns.py``), an entry here, and its name in ``config.Source.format``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession

from spark_jobs.ingest.datasets import (
    amazon_beauty14,
    grocery_store,
    online_retail_ii,
    pricerunner,
    two_tables,
)
from spark_jobs.ingest.datasets.window import Window

Reader = Callable[[SparkSession, str, Window], DataFrame]


@dataclass(frozen=True)
class Adapter:
    """How a data set is read: its folder in, columns of a feed out."""

    items: Reader
    interactions: Reader | None = None


ADAPTERS: Mapping[str, Adapter] = {
    "grocery_store": Adapter(grocery_store.items),
    "online_retail_ii": Adapter(online_retail_ii.items, online_retail_ii.interactions),
    "pricerunner": Adapter(pricerunner.items),
    "amazon_beauty14": Adapter(amazon_beauty14.items, amazon_beauty14.interactions),
    "abt_buy": Adapter(two_tables.abt_buy_items),
    "walmart_amazon": Adapter(two_tables.walmart_amazon_items),
}
