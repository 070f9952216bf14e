"""The ranking team's example fetches once a request and once a night what a row would have had."""

from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from candidates import Candidates
from feast import FeatureStore
from feast_features import fetched_products, fetched_users, served_features
from purchases import Purchases
from pyspark.sql import SparkSession

from encoders.ranking.similarity_histograms import vector_matrix
from spark_jobs.night import Night
from spark_jobs.publish.commit import publish_tables, record_night
from spark_jobs.publish.feast_definitions import apply_definitions, open_store
from spark_jobs.publish.fetching import training_set
from spark_jobs.publish.materialization import feast_output_logged
from spark_jobs.releases import transitions
from spark_jobs.warehouse.tables import Tables

FIRST, SECOND = Night.parse("2026-01-31"), Night.parse("2026-02-01")
TABLES = (
    *("spus", "spu_members", "item_embeddings", "spu_embeddings"),
    *("spu_preference_embeddings", "user_embeddings", "spu_semantic_ids"),
)
ITEMS, USERS = ["i0", "i1", "i2"], ["u0", "u1", "u2"]
# The second night knows i2 and u1 too, and has other vectors of what the first one knew.
KNOWN = {FIRST: (ITEMS[:2], USERS[:1]), SECOND: (ITEMS, USERS[:2])}


@pytest.fixture(scope="module")
def store(
    spark: SparkSession, staging: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FeatureStore]:
    tables = Tables(spark, str(tmp_path_factory.mktemp("example") / "warehouse"))
    transitions.create_release(tables, staging.ENCODERS)
    transitions.promote(tables, "r1")
    for seed, (night, (items, users)) in enumerate(KNOWN.items()):
        spus = [f"s{item[1]}" for item in items]
        staging.stage_shop(tables, night, items=items, spus=spus, users=users, seed=100 * seed)
        publish_tables(tables, night, TABLES)
        record_night(tables, night, "published")
    with feast_output_logged():
        opened = open_store("feature_repo", tables.warehouse)
        apply_definitions(opened, tables.warehouse)
        yield opened


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    """Three requests: at the first night's end, a minute before the second's, and at it."""
    ends = [int(night.end.timestamp()) // 60 for night in KNOWN]
    rows = [
        (request, user, item, minute)
        for request, (user, minute) in enumerate([(0, ends[0]), (1, ends[1] - 1), (1, ends[1])])
        for item in range(3)
    ]
    request, user, item, minute = (np.array(column) for column in zip(*rows, strict=True))
    return Candidates(request, user, item, minute, np.zeros(len(rows), np.bool_))


def test_the_example_reads_what_a_training_set_row_by_row_has(
    store: FeatureStore, candidates: Candidates, spark: SparkSession
) -> None:
    log = pd.DataFrame({"user_id": USERS, "item_id": ITEMS, "price": 1.0})
    purchases = Purchases.of_frame(log.assign(occurred_at=pd.Timestamp("2026-01-01")))
    nights = np.array([int(night.end.timestamp()) // 60 for night in KNOWN])
    by_row = pd.DataFrame(
        {
            "user_id": [USERS[user] for user in candidates.user],
            "spu_id": [f"s{item}" for item in candidates.item],
            "event_timestamp": pd.to_datetime(candidates.minute, unit="m", utc=True),
            "row": np.arange(len(candidates)),
        }
    )

    products = fetched_products(store, purchases, nights, release="r1", spark=spark)
    users = fetched_users(store, purchases, candidates, release="r1", spark=spark)
    served = served_features(products, users, candidates, nights)

    expected = training_set(store, by_row, service="ranking__r1", spark=spark).sort_values("row")
    np.testing.assert_array_equal(served.user_CD, vector_matrix(expected["user_preference"]))
    np.testing.assert_array_equal(served.spu_CD, vector_matrix(expected["spu_preference"]))
    np.testing.assert_array_equal(served.cope_CD, vector_matrix(expected["spu_cope"]))
    codes = expected[["c1", "c2", "c3"]].fillna(-1).to_numpy(np.int64)
    np.testing.assert_array_equal(served.codes_CV, codes)
    # The second user and the third product are known from the second night's end on.
    assert np.isnan(served.user_CD[3:6]).all()
    assert np.isfinite(served.user_CD[6:]).all()
    assert np.isnan(served.cope_CD[[2, 5]]).all()
    assert np.isfinite(served.cope_CD[8]).all()
