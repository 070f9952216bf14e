"""Sequences: order, what is not known yet, what has no SPU, and the cut in time."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.contracts import INTERACTIONS, SPU_MEMBERS, Table
from spark_jobs.training.learn_data import (
    MAX_EVENTS,
    UserSequences,
    content_matrix,
    cut_at,
    days_shuffled,
    event_minutes,
    event_sequences,
    events_near,
    held_out_from,
    known_events,
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

    known = known_events(
        events, members.select("domain", "item_id", "spu_id"), end=START + timedelta(hours=24)
    )
    rows = event_sequences(known, cut=START + timedelta(hours=4), max_users=10).collect()

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
        [row[0] for row in event_sequences(known, cut=START, max_users=5).collect()]
        for frame in (events, events.orderBy("user_id", ascending=False))
        for known in [known_events(frame, members, end=end)]
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


@pytest.fixture
def heavy(contract_frame: Frame) -> DataFrame:
    """Ann's event of every hour for 1,000 hours, all delivered twice; Bob's of the first hour."""
    ann = [event("ann", f"p{hour % 7}", hour) for hour in range(1000)]
    events = contract_frame(INTERACTIONS, [*ann, *ann, event("bob", "p1", 0)])
    members = contract_frame(SPU_MEMBERS, [member(f"p{n}", f"s{n}") for n in range(7)])
    spus = members.select("domain", "item_id", "spu_id")
    return known_events(events, spus, end=START + timedelta(hours=2000))


def test_a_heavy_user_keeps_the_history_before_the_cut_and_what_came_next(
    spark: SparkSession, heavy: DataFrame
) -> None:
    cut = START + timedelta(hours=500)

    sequences = event_sequences(heavy, cut=cut, max_users=10).orderBy("user_id").toArrow()
    parts = cut_at(user_sequences(sequences, [f"s{n}" for n in range(7)]), cut)

    assert [case.history.items.tolist() for case in parts.cases] == [
        [h % 7 for h in range(100, 500)]
    ]
    assert [case.targets.tolist() for case in parts.cases] == [[h % 7 for h in range(500, 900)]]
    assert [len(its) for its in parts.before] == [400, 1]


def test_no_more_than_the_limit_of_a_user_is_collected(
    spark: SparkSession, heavy: DataFrame
) -> None:
    near = events_near(heavy, cut=START + timedelta(hours=700))

    kept = {row["user_id"]: row["n"] for row in _distinct_events(near).collect()}
    assert kept == {"ann": MAX_EVENTS + 300, "bob": 1}


def test_nothing_is_collected_before_it_is_ranked(
    heavy: DataFrame, operators: Callable[[DataFrame], list[str]]
) -> None:
    names = operators(event_sequences(heavy, cut=START + timedelta(hours=500), max_users=10))

    done_last_first = [name for name in names if name in ("Aggregate", "Window")]
    assert done_last_first == ["Aggregate", "Window", "Window"]


def test_an_event_delivered_twice_counts_once_in_a_minute(
    spark: SparkSession, heavy: DataFrame
) -> None:
    counts = event_minutes(heavy).toArrow().to_pydict()

    first = int(START.timestamp()) // 60
    assert counts["minute"] == [first + 60 * hour for hour in range(1000)]
    assert counts["n"] == [2, *[1] * 999]


def test_held_out_events_begin_at_the_minute_after_which_their_share_lies() -> None:
    # Ten events, two of them in the last minute: a fifth.
    minutes = pa.table({"minute": [-60, 0, 1, 90], "n": [3, 4, 1, 2]})

    moments = [held_out_from(minutes, share) for share in (0.1, 0.2, 0.25, 0.95)]

    assert moments == [
        datetime(1970, 1, 1, 1, 30, tzinfo=UTC),
        datetime(1970, 1, 1, 0, 1, tzinfo=UTC),
        datetime(1970, 1, 1, 0, 0, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 0, tzinfo=UTC),
    ]


def test_nothing_is_held_out_of_no_events() -> None:
    minutes = pa.table({"minute": pa.array([], pa.int64()), "n": pa.array([], pa.int64())})

    assert held_out_from(minutes) == datetime(1970, 1, 1, tzinfo=UTC)


def test_cut_at_cuts_everybody_at_one_moment() -> None:
    items = [np.arange(8), np.array([8, 9]), np.array([10])]
    hours = [np.arange(8), np.array([0, 1]), np.array([9])]
    times = [(its * 3_600_000_000).astype(np.int64) for its in hours]

    parts = cut_at(UserSequences(items, times), datetime(1970, 1, 1, 5, tzinfo=UTC))

    assert [history.items.tolist() for history in parts.before] == [[0, 1, 2, 3, 4], [8, 9], []]
    assert [case.history.items.tolist() for case in parts.cases] == [[0, 1, 2, 3, 4]]
    assert [case.targets.tolist() for case in parts.cases] == [[5, 6, 7]]


def test_leaving_one_out_takes_the_last_event_after_the_cut_and_all_before_it() -> None:
    items = [np.arange(4), np.array([8, 9]), np.array([5])]
    times = [np.array([0, 1, 7, 9]), np.array([0, 1]), np.array([9])]
    cut = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=5)

    parts = cut_at(UserSequences(items, times), cut, protocol="leave-one-out")

    assert [case.history.items.tolist() for case in parts.cases] == [[0, 1, 2]]
    assert [case.targets.tolist() for case in parts.cases] == [[3]]
    assert [history.items.tolist() for history in parts.before] == [[0, 1], [8, 9], []]


def test_what_training_watches_is_the_latest_share_of_what_lies_before_the_cut() -> None:
    items = [np.arange(8), np.array([8, 9])]
    times = [np.array([0, 1, 1, 2, 3, 4, 9, 9]), np.array([0, 3])]
    cut = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=5)

    parts = cut_at(UserSequences(items, times), cut, watched_share=0.25)

    # Eight events lie before the cut; those at 3 and later are its latest quarter and more.
    assert list(parts.watched_from) == [4, 1]
    assert [history.moments.tolist() for history in parts.before] == [[0, 1, 1, 2, 3, 4], [0, 1]]


def test_a_day_without_an_order_is_one_moment_and_the_cut_stays_where_it_was() -> None:
    hour = 3_600_000_000
    times = np.array([2, 3, 4, 20, 26, 27, 28, 29, 49]) * hour
    sequences = UserSequences([np.arange(9)], [times])
    cut = datetime(1970, 1, 2, 4, tzinfo=UTC)

    shuffled = [days_shuffled(sequences, cut, seed=seed) for seed in range(20)]

    for found in shuffled:
        items, since = found.items[0].tolist(), found.times[0] // hour
        assert [sorted(items[:4]), sorted(items[4:6])] == [[0, 1, 2, 3], [4, 5]]
        assert [sorted(items[6:8]), items[8:]] == [[6, 7], [8]]
        assert since.tolist() == [0, 0, 0, 0, 24, 24, 28, 28, 48]
        assert len(cut_at(found, cut).before[0]) == 6
    assert len({tuple(found.items[0].tolist()) for found in shuffled}) > 10


def _distinct_events(events: DataFrame) -> DataFrame:
    return events.distinct().groupBy("user_id").agg(F.count("*").alias("n"))
