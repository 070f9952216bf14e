"""A request is checked before Feast sees it: each message names what, where and a way out."""

from typing import Any
from unittest.mock import create_autospec

import pandas as pd
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource
from feast.types import Float32, String
from feast.value_type import ValueType

from spark_jobs.publish.feature_requests import (
    UnusableRequest,
    check_events,
    join_keys,
    online_keys,
)

TIME = pd.Timestamp("2026-01-31", tz="UTC")


def _view(key: str, feature: Field) -> FeatureView:
    entity = Entity(name=key, join_keys=[key], value_type=ValueType.STRING)
    view = FeatureView(
        name=f"{key}_view",
        entities=[entity],
        schema=[Field(name=key, dtype=String), feature],
        source=FileSource(path="none.parquet", timestamp_field="event_timestamp"),
    )
    view.entity_columns = [Field(name=key, dtype=String)]
    return view


@pytest.fixture(scope="module")
def service() -> FeatureService:
    views = [
        _view("user_id", Field(name="n_events", dtype=Float32)),
        _view("spu_id", Field(name="price", dtype=Float32)),
    ]
    return FeatureService(name="ranking", features=views)


@pytest.fixture(scope="module")
def store(service: FeatureService) -> Any:
    """A registry that knows the service's two views."""
    store = create_autospec(FeatureStore, instance=True)
    views = {
        f"{key}_view": _view(key, Field(name="x", dtype=Float32)) for key in ("user_id", "spu_id")
    }
    store.get_feature_view.side_effect = lambda name: views[name]
    store.list_on_demand_feature_views.return_value = []
    return store


def _log(**columns: object) -> pd.DataFrame:
    return pd.DataFrame(
        {"user_id": ["u1", "u2"], "spu_id": ["s1", "s2"], "event_timestamp": TIME, **columns}
    )


def test_a_services_keys_are_those_of_its_views(store: Any, service: FeatureService) -> None:
    assert join_keys(store, service) == ["user_id", "spu_id"]


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, ""])
def test_a_visitor_without_an_id_is_nobody(
    store: Any, service: FeatureService, missing: object
) -> None:
    keys = online_keys(store, service, {"user_id": ["u1", missing], "spu_id": ["s1", "s1"]})

    assert keys == {"user_id": ["u1", ""], "spu_id": ["s1", "s1"]}


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        ({"user_id": ["u1"]}, "ranking needs user_id, spu_id; spu_id is missing among 'user_id'"),
        (
            {"user_id": ["u"], "spu": ["s"]},
            r"spu_id is missing among .* Did you mean 'spu'\? Rename it to 'spu_id'",
        ),
        (
            {"user_id": ["u"], "spu_id": ["s"], "domain": ["page"]},
            "has no join key 'domain'; it takes user_id, spu_id",
        ),
        ({"user_id": ["u", "v"], "spu_id": ["s"]}, "user_id has 2, spu_id has 1"),
        (
            {"user_id": ["u", 7], "spu_id": ["s", "s"]},
            r"user_id must hold texts.* row 1 has 7 \(int",
        ),
        ({"user_id": ["u"], "spu_id": [b"s"]}, r"row 0 has b's' \(bytes\)"),
    ],
)
def test_keys_that_are_not_the_services_are_refused(
    store: Any, service: FeatureService, entities: Any, message: str
) -> None:
    with pytest.raises(UnusableRequest, match=message):
        online_keys(store, service, entities)


def test_a_log_keeps_its_own_columns_and_missing_ids(store: Any, service: FeatureService) -> None:
    check_events(store, service, _log(user_id=["u1", None], label=[0, 1], position=[1, 2]))


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (_log(price=[1.0, 2.0]), r"has a column 'price', and so has .*'price': 'log_price'"),
        (_log(N_Events=[1, 2]), "has a column 'N_Events'"),
        (_log(Label=[1, 2], label=[1, 2]), "stand twice, capital letters aside: Label, label"),
        (
            _log().drop(columns="spu_id"),
            "the log needs user_id, spu_id, event_timestamp; spu_id is",
        ),
        (
            _log().rename(columns={"event_timestamp": "timestamp"}),
            "event_timestamp is missing .* Did you mean 'timestamp'",
        ),
        (_log().head(0), "no rows"),
        (
            _log(event_timestamp=["2026-01-31", "x"]),
            r"found object, such as '2026-01-31'.*utc=True",
        ),
        (_log(event_timestamp=[TIME, pd.NaT]), r"is null in 1 of 2 rows \(1\).*dropna"),
        (_log(user_id=[1, 2]), r"user_id must hold texts.* row 0 has 1 \(int\)"),
    ],
)
def test_a_log_that_cannot_be_joined_is_refused(
    store: Any, service: FeatureService, log: pd.DataFrame, message: str
) -> None:
    with pytest.raises(UnusableRequest, match=message):
        check_events(store, service, log)
