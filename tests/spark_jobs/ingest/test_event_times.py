"""Times of events: the earliest accepted, and extreme ones in every documented reader."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable
from pyspark.sql import functions as F

from spark_jobs.contracts import INTERACTIONS
from spark_jobs.ingest_config import IngestConfig

EMPTY_DATES = [
    "-0043-03-15T12:00:00Z",
    "0001-01-01T00:00:00Z",  # .NET, Go
    "1030",  # an hour, read as a year
    "1899-12-30T00:00:00Z",  # spreadsheets
    "1970-01-01T00:00:00Z",
    "1989-12-31T23:59:59.999999Z",
]


def test_an_event_before_the_earliest_time_is_refused(
    shop, item: Callable, event: Callable
) -> None:
    times = [*EMPTY_DATES, "1990-01-01T00:00:00Z"]
    events = [event(item_id="a", occurred_at=time) for time in times]

    steps = shop.take(pages=[item("a")], events=events)

    assert (steps["events"].rows_out, steps["events"].rows_quarantined) == (1, len(EMPTY_DATES))
    assert {reason for _, reason, _, _ in shop.refused()} == {"event_too_old"}


def test_the_earliest_time_is_a_setting(shop, item: Callable, event: Callable) -> None:
    pages = shop.write("pages", [item("a")])
    events = shop.write("events", [event(item_id="a", occurred_at="1996-05-20T00:00:00Z")])

    steps = shop.run(pages, events, limits=IngestConfig(earliest_event=date(1996, 5, 21)))

    assert steps["events"].rows_quarantined == 1


def test_every_documented_reader_returns_the_extreme_times_that_are_accepted(
    shop, item: Callable, event: Callable
) -> None:
    # Far before and after what nanoseconds hold: 1677 to 2262.
    first = datetime(1678, 1, 1, tzinfo=UTC)
    last = datetime(9998, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    times = [first, datetime(2026, 1, 31, 10, 0, 0, 1, tzinfo=UTC), last]
    pages = shop.write("pages", [item("a")])
    rows = [event(item_id="a", occurred_at=time.isoformat()) for time in times]
    events = shop.write("events", rows)
    night = "9998-12-31"

    shop.run(pages, events, night=night, limits=IngestConfig(earliest_event=first.date()))

    path = shop.tables.staged_path(INTERACTIONS)
    arrow = DeltaTable(path).to_pyarrow_table(columns=["occurred_at"])
    with closing(duckdb.connect()) as db:
        db.execute("SET timezone = 'UTC'")
        db.register("events", arrow)
        by_duckdb = db.sql("SELECT epoch_us(occurred_at) FROM events").fetchall()
    by_reader = {
        "spark": shop.tables.spark.read.format("delta")
        .load(path)
        .select(F.unix_micros("occurred_at"))
        .toArrow()
        .column(0)
        .to_pylist(),
        "deltalake": arrow.column("occurred_at").cast("int64").to_pylist(),
        "pandas": DeltaTable(path).to_pandas()["occurred_at"].astype("int64").to_list(),
        "duckdb": [micros for (micros,) in by_duckdb],
        "polars": pl.from_arrow(arrow)["occurred_at"].dt.epoch("us").to_list(),
    }
    microsecond = (times[1] - first) // (times[1] - first).resolution
    start = int(first.timestamp()) * 1_000_000
    expected = [start, start + microsecond, start + (last - first) // (last - first).resolution]
    assert {name: sorted(micros) for name, micros in by_reader.items()} == dict.fromkeys(
        by_reader, expected
    )


def test_an_earliest_time_that_nanoseconds_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="1678-01-01"):
        IngestConfig(earliest_event=date(1677, 12, 31))
