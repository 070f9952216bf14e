"""Public data sets that ingest reads in the columns of a feed, by format.

To add one: a module that returns the data set's folder as a frame in the columns of a feed
(``spark_jobs/ingest/columns.py``), an entry here, and its name in ``config.Source.format``.
"""

from collections.abc import Mapping

from spark_jobs.ingest.datasets import (
    amazon_beauty14,
    grocery_store,
    online_retail_ii,
    product_matching,
)
from spark_jobs.ingest.datasets.adapter import Adapter

ADAPTERS: Mapping[str, Adapter] = {
    "grocery_store": Adapter(grocery_store.items),
    "online_retail_ii": Adapter(online_retail_ii.items, online_retail_ii.interactions),
    "pricerunner": Adapter(product_matching.pricerunner_items),
    "amazon_beauty14": Adapter(amazon_beauty14.items, amazon_beauty14.interactions),
    "abt_buy": Adapter(product_matching.abt_buy_items),
    "walmart_amazon": Adapter(product_matching.walmart_amazon_items),
}
