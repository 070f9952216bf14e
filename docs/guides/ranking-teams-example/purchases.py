"""The shop's own log: who bought which product when, and at what price.

A ranking team has this without embedmill. Users and products are numbered; their ids are those of
the feed.

Shapes: L lines, oldest first; U users; N products.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Rows = NDArray[np.int64]
MINUTES_A_DAY = 24 * 60
_SOURCE = "online_retail:"
_PRODUCT_CODE = "[0-9]{5}[A-Z]{0,2}"


@dataclass(frozen=True)
class Purchases:
    """Lines of a log, oldest first.

    Attributes:
        user_ids, item_ids: as the feed names them [U], [N].
        user, item: numbers of them, of each line [L].
        minute: since 1970, of each line [L].
        price: of each line [L].
        known_from: minute since 1970 at which each product was first sold, to anybody [N].
    """

    user_ids: Sequence[str]
    item_ids: Sequence[str]
    user: Rows
    item: Rows
    minute: Rows
    price: NDArray[np.float64]
    known_from: Rows

    @classmethod
    def of_frame(cls, sold: pd.DataFrame) -> "Purchases":
        """Return the purchases of a log.

        Args:
            sold: user_id, item_id, occurred_at, price; a sale without a user is no purchase, but
                its product is in the catalogue from then on.
        """
        known_from = sold.groupby("item_id")["occurred_at"].min()
        bought = sold[sold["user_id"].notna()].drop_duplicates(
            ["user_id", "item_id", "occurred_at"]
        )
        ordered = bought.sort_values(["occurred_at", "user_id", "item_id"], ignore_index=True)
        user, user_ids = pd.factorize(ordered["user_id"], sort=True)
        return cls(
            list(user_ids),
            list(known_from.index),
            user.astype(np.int64),
            known_from.index.get_indexer(ordered["item_id"]).astype(np.int64),
            minutes(ordered["occurred_at"]),
            ordered["price"].to_numpy(np.float64),
            minutes(known_from),
        )


def minutes(times: "pd.Series[pd.Timestamp]") -> Rows:
    """Return whole minutes since 1970."""
    found: Rows = times.to_numpy("datetime64[m]").astype(np.int64)
    return found


def read_online_retail(folder: Path) -> pd.DataFrame:
    """Return the sales of Online Retail II that ``spark_jobs/ingest/datasets`` reads too.

    Returns:
        user_id, item_id, occurred_at (UTC, without zone), price; user_id is null where the shop did
        not know the customer.
    """
    first = pd.read_parquet(folder / "online_retail_2009_2010.parquet")
    second = pd.read_parquet(folder / "online_retail_2010_2011.parquet")
    first = first.rename(
        columns={"Invoice": "InvoiceNo", "Price": "UnitPrice", "Customer ID": "CustomerID"}
    )
    first["InvoiceDate"] = pd.to_datetime(first["InvoiceDate"])
    # Both files hold the first days of December 2010.
    lines = pd.concat([first[first["InvoiceDate"] < "2010-12-01"], second], ignore_index=True)
    lines["code"] = lines["StockCode"].astype(str).str.strip().str.upper()
    is_sold = (
        (lines["Quantity"] > 0)
        & (lines["UnitPrice"] > 0)
        & lines["Description"].notna()
        & ~lines["InvoiceNo"].astype(str).str.startswith("C")
        & lines["code"].str.fullmatch(_PRODUCT_CODE)
    )
    sold = lines[is_sold]
    customer = sold["CustomerID"].astype("Int64").astype("string")
    return pd.DataFrame(
        {
            "user_id": (_SOURCE + customer).astype(object).where(customer.notna(), None),
            "item_id": _SOURCE + sold["code"],
            "occurred_at": sold["InvoiceDate"],
            "price": sold["UnitPrice"].astype(float),
        }
    ).reset_index(drop=True)
