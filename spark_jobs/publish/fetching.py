"""Features as a ranking team reads them: online for a request, point-in-time for training."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pandas as pd
from pyspark.sql import SparkSession

from spark_jobs.publish.feature_requests import check_events, online_keys
from spark_jobs.publish.materialization import feast_output_logged, feast_session

if TYPE_CHECKING:
    from feast import FeatureStore


def online_features(
    store: "FeatureStore",
    entities: Mapping[str, Sequence[str | None]],
    *,
    service: str = "ranking",
) -> pd.DataFrame:
    """Return today's features of some entities.

    Args:
        entities: join key -> values; row i is the i-th of each, such as a user and an SPU. None or
            NaN is nobody's id, such as that of a visitor who has not logged in.
        service: feature service; ``ranking`` is the live release's, ``ranking__r1`` pins one.

    Returns:
        one row a request: the join keys as they were given and the service's features; null where
        there is no value.

    Raises:
        UnusableRequest: the keys are not those of the service; see ``requests``.
    """
    features = store.get_feature_service(service)
    response = store.get_online_features(
        features=features, entity_rows=online_keys(store, features, entities)
    )
    frame: pd.DataFrame = response.to_df()
    for name, values in entities.items():
        frame[name] = pd.Series(list(values), dtype=object)
    return frame


def training_set(
    store: "FeatureStore",
    events: pd.DataFrame,
    *,
    service: str = "ranking",
    spark: SparkSession | None = None,
) -> pd.DataFrame:
    """Return events with the features that were known when each happened.

    Args:
        events: the service's join keys, ``event_timestamp`` (UTC) and any others, such as a label.
        spark: session to run in; without one Feast takes the active session, or starts its own.

    Returns:
        the columns of ``events``, and the service's features as of each ``event_timestamp``: the
        latest that could be known then, never a later one.

    Raises:
        UnusableRequest: ``events`` cannot be joined as it is; see ``requests``. Raised at once.
    """
    features = store.get_feature_service(service)
    check_events(store, features, events)
    session = feast_session(spark) if spark else nullcontext()
    with session, feast_output_logged():
        retrieval = store.get_historical_features(entity_df=events.copy(), features=features)
        frame: pd.DataFrame = retrieval.to_df()
    return frame
