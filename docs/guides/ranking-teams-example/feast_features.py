"""What the feature service knew at each request, point-in-time.

A row of a training set has a user, a product and a time. Fetched row by row, the vectors of a user
would come once a candidate. They are the same for all candidates of a request, and those of a
product are the same from one night's end to the next: so users are fetched once a request and
products once a night, from the same service and with the same times.

Shapes: R requests, T nights, N products, D numbers of a vector, V levels of codes.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from candidates import Candidates
from embedmill_features import Served, Vectors
from numpy.typing import NDArray
from purchases import Purchases, Rows

from encoders.ranking.similarity_histograms import vector_matrix
from spark_jobs.publish.fetching import training_set

if TYPE_CHECKING:
    from feast import FeatureStore
    from pyspark.sql import SparkSession

CODES = ["c1", "c2", "c3"]


@dataclass(frozen=True)
class Products:
    """Products as each night's end knew them; NaN and -1 where it did not.

    Attributes:
        learn_TND, cope_TND: vectors, of widths of their own.
        codes_TNV: semantic ids.
    """

    learn_TND: Vectors
    cope_TND: Vectors
    codes_TNV: Rows


@dataclass(frozen=True)
class Users:
    """Users as of their requests.

    Attributes:
        request: numbers, in order [R].
        learn_RD: vectors; NaN where there is none.
    """

    request: Rows
    learn_RD: Vectors


def night_of(minute: Rows, nights: Rows) -> Rows:
    """Return the last night that had ended at each minute."""
    found: Rows = np.searchsorted(nights, minute, side="right") - 1
    return found


def fetched_products(
    store: "FeatureStore",
    purchases: Purchases,
    nights: Rows,
    *,
    release: str,
    spark: "SparkSession | None" = None,
) -> Products:
    """Fetch all products as of each night's end.

    Args:
        nights: ends of nights, minutes since 1970.
        release: such as ``r1``.
        spark: as for ``training_set``.
    """
    n_items = len(purchases.item_ids)
    asked = pd.DataFrame(
        {
            "domain": "page",
            "item_id": np.tile(np.array(purchases.item_ids, object), len(nights)),
            "event_timestamp": _times(np.repeat(nights, n_items)),
            "cell": np.arange(len(nights) * n_items),
        }
    )
    items = training_set(store, asked, service=f"items__{release}", spark=spark)
    known = items[items["item_spu_id"].notna()]
    of_spus = pd.DataFrame(
        {
            "user_id": "",
            "spu_id": known["item_spu_id"],
            "event_timestamp": known["event_timestamp"],
            "cell": known["cell"],
        }
    )
    served = training_set(store, of_spus, service=f"ranking__{release}", spark=spark)
    return _products(served, (len(nights), n_items))


def _products(served: pd.DataFrame, shape: tuple[int, int]) -> Products:
    """Return rows of a training set, whose ``cell`` counts products within nights, as arrays."""
    size = shape[0] * shape[1]
    codes = np.full((size, len(CODES)), -1)
    codes[served["cell"]] = served[CODES].fillna(-1).to_numpy(np.int64)
    learn, cope = (
        _matrix(served[name], served["cell"], size) for name in ("spu_preference", "spu_cope")
    )
    return Products(*(each.reshape(*shape, -1) for each in (learn, cope, codes)))


def fetched_users(
    store: "FeatureStore",
    purchases: Purchases,
    candidates: Candidates,
    *,
    release: str,
    spark: "SparkSession | None" = None,
) -> Users:
    """Fetch the user's vector as of each request."""
    request, firsts = np.unique(candidates.request, return_index=True)
    asked = pd.DataFrame(
        {
            "user_id": [purchases.user_ids[user] for user in candidates.user[firsts]],
            "spu_id": "",
            "event_timestamp": _times(candidates.minute[firsts]),
            "cell": np.arange(len(firsts)),
        }
    )
    users = training_set(store, asked, service=f"ranking__{release}", spark=spark)
    return Users(request, _matrix(users["user_preference"], users["cell"], len(firsts)))


def served_features(
    products: Products, users: Users, candidates: Candidates, nights: Rows
) -> Served:
    """Return what a request would have been served, of each candidate."""
    place = (night_of(candidates.minute, nights), candidates.item)
    return Served(
        users.learn_RD[np.searchsorted(users.request, candidates.request)],
        products.learn_TND[place],
        products.cope_TND[place],
        products.codes_TNV[place],
    )


def _times(minute: Rows) -> "pd.Series[pd.Timestamp]":
    return pd.Series(pd.to_datetime(minute, unit="m", utc=True))


def _matrix(column: "pd.Series[object]", cell: "pd.Series[int]", size: int) -> NDArray[np.float32]:
    """Return vectors as rows of a matrix, NaN where there is none."""
    vectors = vector_matrix(column.where(column.notna(), None))
    matrix = np.full((size, vectors.shape[1]), np.nan, np.float32)
    matrix[cell.to_numpy()] = vectors
    return matrix
