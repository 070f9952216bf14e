"""Differences between a table and the online store: found, and named in the error."""

import json
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pytest

from spark_jobs.contracts import KINDS
from spark_jobs.night import Night
from spark_jobs.publish.feast_definitions import apply_definitions, open_store
from spark_jobs.publish.materialization import feast_output_logged
from spark_jobs.publish.online_values import is_present, online_values
from spark_jobs.publish.reconciliation import (
    NEVER,
    Difference,
    NotReconciled,
    Reconciled,
    compare,
    never_published,
    refuse_differences,
    same_value,
)

if TYPE_CHECKING:
    from feast import FeatureStore

ENCODERS = {kind: f"{kind}@{position:012x}" for position, kind in enumerate(KINDS, start=1)}


@pytest.fixture(scope="module")
def store(repo: str, tmp_path_factory: pytest.TempPathFactory) -> "FeatureStore":
    """An online store of each kind in which SPU a has a vector, b a null and c nothing."""
    warehouse = tmp_path_factory.mktemp("warehouse")
    release = {"name": "r1", "state": "live", "encoders": ENCODERS}
    (warehouse / "releases.json").write_text(json.dumps({"releases": [release]}))
    opened = open_store(repo, str(warehouse))
    now = pd.Timestamp("2026-02-01", tz="UTC")
    with feast_output_logged():
        apply_definitions(opened, str(warehouse))
        opened.write_to_online_store(
            "spu_cope__r1",
            pd.DataFrame(
                {
                    "spu_id": ["a", "b"],
                    "spu_cope": [[0.6, 0.8], None],
                    "event_timestamp": [now, now],
                    "created_timestamp": [now, now],
                }
            ),
        )
    return opened


def expected(*rows: tuple[str, bool, list[float] | None]) -> pa.Table:
    return pa.table(
        {
            "spu_id": [key for key, _, _ in rows],
            "is_active": [active for _, active, _ in rows],
            "values": [None if vector is None else {"spu_cope": vector} for _, _, vector in rows],
        }
    )


def test_equal_values_reconcile(store: "FeatureStore") -> None:
    view = store.get_feature_view("spu_cope__r1")
    rows = expected(("a", True, [0.6, 0.8]), ("b", False, None), ("c", False, None))
    assert compare(store, view, rows) == (Reconciled("spu_cope__r1", 3, 1, 1), [])


def test_missing_left_over_and_changed_values_are_found(store: "FeatureStore") -> None:
    view = store.get_feature_view("spu_cope__r1")
    rows = expected(("c", True, None), ("a", False, None), ("b", True, [0.6, 0.8]))
    _, found = compare(store, view, rows)
    assert [(d.key, d.expected, d.seen) for d in found] == [
        (("c",), "a value", "none"),
        (("a",), "none", "a value"),
        (("b",), "a value", "none"),
    ]
    _, found = compare(store, view, expected(("a", True, [0.8, 0.6])))
    assert [(d.key, d.feature, d.expected) for d in found] == [(("a",), "spu_cope", [0.8, 0.6])]


def test_a_key_that_was_never_published_is_found(store: "FeatureStore") -> None:
    view = store.get_feature_view("spu_cope__r1")
    # b has a null online, which reads as nothing.
    assert never_published(store, view, expected(("c", True, None))) == [
        Difference("spu_cope__r1", ("a",), "*", NEVER, "a value")
    ]
    assert never_published(store, view, expected(("a", True, None))) == []
    # Other views of the same entity have rows of their own.
    other = store.get_feature_view("spu_preference__r1")
    assert never_published(store, other, expected(("c", True, None))) == []


def test_keys_of_several_parts_are_compared_in_the_order_of_the_view(store: "FeatureStore") -> None:
    view = store.get_feature_view("item_spu")
    now = pd.Timestamp("2026-02-01", tz="UTC")
    row = {"domain": ["page"], "item_id": ["ü*?[1]"], "item_spu_id": ["a"]}
    row |= {"assigned_by": ["link"], "confidence": [1.0]}
    frame = pd.DataFrame(row | {"event_timestamp": [now], "created_timestamp": [now]})
    store.write_to_online_store("item_spu", frame)
    known = pa.table({"domain": ["page", "video"], "item_id": ["ü*?[1]", "x"]})
    assert never_published(store, view, known) == []
    found = never_published(store, view, known.slice(1))
    assert [difference.key for difference in found] == [("page", "ü*?[1]")]


def test_values_come_in_the_order_of_the_keys(store: "FeatureStore") -> None:
    view = store.get_feature_view("spu_cope__r1")
    keys = pa.table({"spu_id": ["c", "a", "b", "a"]})
    assert [is_present(values) for values in online_values(store, view, keys)] == [
        False,
        True,
        False,
        True,
    ]


def test_the_error_names_view_key_expected_and_seen() -> None:
    night = Night.parse("2026-01-31")
    refuse_differences([], night)
    differences = [Difference("spu_facts", (f"s{i}",), "price", 1.0, 2.0) for i in range(7)]
    with pytest.raises(NotReconciled) as refused:
        refuse_differences(differences, night)
    message = str(refused.value)
    assert "night 2026-01-31: 7 keys or values" in message
    assert "spu_facts ('s0',) price: expected 1.0, seen 2.0" in message
    assert "and 2 more" in message


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (1.5, 1.5, True),
        ("a", "b", False),
        (None, None, True),
        (None, 0, False),
        ([0.1], [0.10000000149011612], True),
        ([0.1], [0.1000001], False),
        ([0.1], [0.1, 0.2], False),
        ([0.1], None, False),
    ],
)
def test_vectors_are_equal_as_float32(left: object, right: object, same: bool) -> None:
    assert same_value(left, right) is same
