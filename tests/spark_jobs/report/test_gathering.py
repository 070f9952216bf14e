"""What the ledgers' rows and the collected members come to, without Spark."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
from pyspark.sql import Row

from spark_jobs.report.doubts import farthest_pairs
from spark_jobs.report.history import night_lines
from spark_jobs.report.ledgers import night_state, releases_at, step_runs
from spark_jobs.report.users import newest_first

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def run(stage: str, name: str) -> Row:
    return Row(
        stage=stage,
        step=name,
        rows_in=1,
        rows_out=1,
        rows_quarantined=0,
        rows_encoded=None,
        rows_spared=None,
        seconds=0.0,
        stage_seconds=None,
        encoder_version=None,
    )


def test_steps_come_in_the_order_of_stages_without_the_reports_own() -> None:
    rows = [
        run("report", "pages"),
        run("spu", "b"),
        run("odd", "x"),
        run("ingest", "c"),
        run("spu", "a"),
    ]

    found = [(step.stage, step.step) for step in step_runs(rows, ("ingest", "spu"))]

    assert found == [("ingest", "c"), ("spu", "a"), ("spu", "b"), ("odd", "x")]


def test_a_night_is_what_the_audit_says_before_what_publish_said() -> None:
    assert night_state([]) == "unfinished"
    assert night_state(["published"]) == "published"
    assert night_state(["published", "failed"]) == "stopped"


def test_releases_stand_as_they_stood_at_the_night() -> None:
    rows = [
        Row(
            release="r1", sequence=2, state="live", encoders={"cope": "c@1"}, created_timestamp=NOON
        ),
        Row(release="r1", sequence=1, state="building", encoders={}, created_timestamp=NOON),
        Row(
            release="r1",
            sequence=3,
            state="previous",
            encoders={},
            created_timestamp=NOON + timedelta(days=1),
        ),
    ]

    assert [(r.name, r.state) for r in releases_at(rows, NOON)] == [("r1", "live")]
    assert [(r.name, r.state) for r in releases_at(rows, None)] == [("r1", "previous")]


def test_the_farthest_pair_of_each_spu_lowest_cosine_first() -> None:
    vectors = {
        "a1": (1, 0),
        "a2": (0.6, 0.8),
        "a3": (0, 1),
        "b1": (1, 0),
        "b2": (-1, 0),
        "c1": (1, 0),
    }
    rows = [Row(spu_id=key[0], item_id=key, embedding=list(v)) for key, v in vectors.items()]

    found = farthest_pairs(rows)

    assert [(pair.spu_id, {pair.left, pair.right}) for pair in found] == [
        ("b", {"b1", "b2"}),
        ("a", {"a1", "a3"}),
    ]
    assert np.allclose([pair.cosine for pair in found], [-1, 0])


def test_what_a_user_touched_last_comes_first_and_ties_go_by_key() -> None:
    touched = [
        Row(domain="page", item_id="b", occurred_at=NOON),
        Row(domain="page", item_id="c", occurred_at=NOON + timedelta(hours=1)),
        Row(domain="page", item_id="a", occurred_at=NOON),
    ]

    assert [row["item_id"] for row in newest_first(touched)] == ["c", "a", "b"]


def test_nights_are_put_together_newest_first() -> None:
    first, second, third = (date(2026, 1, day) for day in (29, 30, 31))
    work = [
        Row(ds=first, rows=10, quarantined=1, encoded=5, spared=None),
        Row(ds=second, rows=3, quarantined=0, encoded=1, spared=4),
    ]
    audits = [Row(ds=first, coverage=0.5, checks=9, failed=2)]
    nights = [Row(ds=first, state="failed"), Row(ds=third, state="published")]

    lines = night_lines(work, [Row(ds=second, seconds=60.0)], audits, nights)

    assert [(str(line.night), line.state) for line in lines] == [
        ("2026-01-31", "published"),
        ("2026-01-30", "unfinished"),
        ("2026-01-29", "stopped"),
    ]
    assert (lines[1].rows, lines[1].spared, lines[1].seconds, lines[1].coverage) == (
        3,
        4,
        60.0,
        None,
    )
    assert (lines[2].spared, lines[2].checks, lines[2].failed) == (0, 9, 2)
