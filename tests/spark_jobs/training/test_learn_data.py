"""Sequences: order, what is not known yet, what has no SPU, and the cut in time."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from spark_jobs.contracts import INTERACTIONS, SPU_MEMBERS, Table
from spark_jobs.training.learn_data import (
    UserSequences,
    content_matrix,
    event_sequences,
    held_out,
    user_sequences,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
Frame = Callable[[Table, Sequence[Mapping[str, object]]], DataFrame]


def event(user_id: str, item_id: str, hour: int, action: str = "view") -> dict[str, object]:
    return {
        "user_id": user_id,
        "domain": "page",
        "item_id": item_id,
        "action": action,
        "occurred_at": START + timedelta(hours=hour),
    }


def member(item_id: str, spu_id: str) -> dict[str, object]:
    how = {"assigned_by": "attributes", "confidence": 1.0}
    return {"domain": "page", "item_id": item_id, "spu_id": spu_id, **how}


def test_event_sequences_are_in_order_of_time_then_key(
    spark: SparkSession, contract_frame: Frame
) -> None:
    events = contract_frame(
        INTERACTIONS,
        [
            event("ann", "p2", 5),
            event("ann", "p1", 1),
            event("ann", "p1", 5),
            event("ann", "p1", 5),  # delivered twice
            event("ann", "unknown", 2),
            event("ann", "p1", 99),  # after the night
            event("bob", "p2", 3),
        ],
    )
    members = contract_frame(SPU_MEMBERS, [member("p1", "s1"), member("p2", "s2")])

    rows = event_sequences(
        events,
        members.select("domain", "item_id", "spu_id"),
        end=START + timedelta(hours=24),
        max_users=10,
    ).collect()

    hour = 3_600_000_000
    start = int(START.timestamp() * 1e6)
    found = {row["user_id"]: (row["spu_ids"], [t - start for t in row["times"]]) for row in rows}
    assert found == {
        "ann": (["s1", "s1", "s2"], [hour, 5 * hour, 5 * hour]),
        "bob": (["s2"], [3 * hour]),
    }


def test_a_sample_of_users_is_the_same_every_time(
    spark: SparkSession, contract_frame: Frame
) -> None:
    events = contract_frame(INTERACTIONS, [event(f"u{n}", "p1", 1) for n in range(20)])
    members = contract_frame(SPU_MEMBERS, [member("p1", "s1")]).select(
        "domain", "item_id", "spu_id"
    )
    end = START + timedelta(hours=24)

    one, two = (
        [row[0] for row in event_sequences(frame, members, end=end, max_users=5).collect()]
        for frame in (events, events.orderBy("user_id", ascending=False))
    )

    assert one == two
    assert len(set(one)) == 5


def test_user_sequences_leave_out_spus_without_content() -> None:
    table = pa.table(
        {
            "spu_ids": [["s3", "s1", "s9"], [], ["s9"]],
            "times": pa.array([[1, 2, 3], [], [4]], pa.list_(pa.int64())),
        }
    )

    sequences = user_sequences(table, ["s1", "s2", "s3"])

    assert [its.tolist() for its in sequences.items] == [[2, 0], [], []]
    assert [its.tolist() for its in sequences.times] == [[1, 2], [], []]


def test_user_sequences_of_nobody_are_empty() -> None:
    table = pa.table(
        {
            "spu_ids": pa.array([], pa.list_(pa.string())),
            "times": pa.array([], pa.list_(pa.int64())),
        }
    )

    assert len(user_sequences(table, ["s1"]).items) == 0


def test_content_matrix_keeps_the_order_of_the_rows() -> None:
    table = pa.table({"spu_id": ["b", "a"], "embedding": [[1.0, 2.0], [3.0, 4.0]]})

    spu_ids, contents = content_matrix(table)

    assert spu_ids == ["b", "a"]
    assert contents.dtype == np.float32
    assert contents.tolist() == [[1, 2], [3, 4]]


def test_held_out_cuts_everybody_at_one_moment() -> None:
    items = [np.arange(8), np.array([8, 9]), np.array([10])]
    hours = [np.arange(8), np.array([0, 1]), np.array([9])]
    times = [(its * 3_600_000_000).astype(np.int64) for its in hours]

    parts = held_out(UserSequences(items, times), share=0.3)

    assert parts.cut == datetime(1970, 1, 1, 5, tzinfo=UTC)
    assert [its.tolist() for its in parts.before] == [[0, 1, 2, 3, 4], [8, 9], []]
    assert [its.tolist() for its in parts.histories] == [[0, 1, 2, 3, 4]]
    assert [its.tolist() for its in parts.targets] == [[5, 6, 7]]
