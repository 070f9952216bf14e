"""Features as a ranking team reads them: online for a request, point-in-time for training."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
from pyspark.sql import SparkSession

from spark_jobs.publish.materialization import feast_output_logged, feast_session

if TYPE_CHECKING:
    from feast import FeatureStore


def online_features(
    store: "FeatureStore", entities: Mapping[str, Sequence[str]], *, service: str = "ranking"
) -> pd.DataFrame:
    """Return today's features of some entities.

    Args:
        entities: join key -> values; row i is the i-th of each, such as a user and an SPU.
        service: feature service; ``ranking`` is the live release's, ``ranking__r1`` pins one.

    Returns:
        one row a request: the join keys and the service's features; null where there is no value.
    """
    rows = {key: list(values) for key, values in entities.items()}
    response = store.get_online_features(
        features=store.get_feature_service(service), entity_rows=rows
    )
    features: pd.DataFrame = response.to_df()
    return features


def training_set(
    store: "FeatureStore", spark: SparkSession, events: pd.DataFrame, *, service: str = "ranking"
) -> pd.DataFrame:
    """Return events with the features that were known when each happened.

    Args:
        events: the service's join keys, ``event_timestamp`` (UTC) and any others, such as a label.

    Returns:
        the columns of ``events``, and the service's features as of each ``event_timestamp``: the
        latest that could be known then, never a later one.
    """
    with feast_session(spark), feast_output_logged():
        retrieval = store.get_historical_features(
            entity_df=events.copy(), features=store.get_feature_service(service)
        )
        frame: pd.DataFrame = retrieval.to_df()
    return frame
