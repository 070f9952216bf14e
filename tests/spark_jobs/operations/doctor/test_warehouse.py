"""Doctor's checks of tables, nights and unfinished work."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from spark_jobs.contracts import INTERACTIONS, KINDS, SPU_MEMBERS, SPUS
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.engine.session import setting_kept
from spark_jobs.night import Night
from spark_jobs.operations.doctor import warehouse
from spark_jobs.operations.doctor.findings import Finding
from spark_jobs.publish.commit import record_night
from spark_jobs.releases.transitions import create_release
from spark_jobs.warehouse.tables import Tables

MEMBER = ("page", "p1", "spu_1", "attributes", 1.0, True)
MEMBER_DDL = (
    "domain string, item_id string, spu_id string, assigned_by string, confidence double, "
    "is_active boolean"
)


def by_what(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.what: finding for finding in findings}


def test_a_new_warehouse_is_a_warning(tables: Tables, night: Night) -> None:
    found = by_what(warehouse.contracts(tables)) | by_what(warehouse.nights(tables, night.end))

    assert {what: finding.state for what, finding in found.items()} == {
        "tables": "warn",
        "nights": "warn",
    }
    assert [finding.state for finding in warehouse.half_done(tables)] == ["ok"]


def test_a_table_with_other_columns_than_its_contract_is_bad(tables: Tables) -> None:
    tables.create(SPU_MEMBERS)
    assert [finding.state for finding in warehouse.contracts(tables)] == ["ok"]
    other = local_frame(tables.spark, [("spu_1", 3)], "spu_id string, title int")
    other.write.format("delta").save(tables.path(SPUS))

    (finding,) = warehouse.contracts(tables)

    assert (finding.what, finding.state) == ("table spus", "bad")
    assert "n_items should be int but is missing" in finding.seen
    assert "title should be string but is int" in finding.seen


def test_overdue_nights_are_a_warning(tables: Tables, night: Night) -> None:
    record_night(tables, night, "published")

    (soon,) = warehouse.nights(tables, night.end + timedelta(days=1))
    (late,) = warehouse.nights(tables, night.end + timedelta(days=5))

    assert (soon.state, late.state) == ("ok", "warn")
    assert str(night) in late.seen
    assert "5 days ago" in late.seen


def test_unfinished_nights_and_backfills_and_abandoned_scratch_are_warnings(
    tables: Tables, night: Night
) -> None:
    rows = local_frame(tables.spark, [MEMBER], MEMBER_DDL)
    tables.stage(rows, SPU_MEMBERS, night)
    record_night(tables, night, "failed", "the feed is empty")
    create_release(tables, {kind: f"{kind}@{0:012x}" for kind in KINDS})
    for folder in ("backfill/r1", "backfill/r9"):
        Path(tables.warehouse, folder).mkdir(parents=True)
    scratch = Path(tables.layout.tmp)
    scratch.mkdir(parents=True)
    (scratch / "part.parquet").touch()

    found = by_what(warehouse.half_done(tables))

    assert set(found) == {f"night {night}", "backfill r1", "backfill r9", "scratch"}
    assert "the feed is empty" in found[f"night {night}"].seen
    assert "release backfill --config CONFIG r1" in found["backfill r1"].advice
    assert "maintain" in found["backfill r9"].advice


def test_old_times_are_named_with_advice(tables: Tables, night: Night) -> None:
    old = ("u", "page", "a", "view", datetime(1, 1, 1, tzinfo=UTC), None)
    kinds = "user_id string, domain string, item_id string, action string, occurred_at timestamp"
    name = "spark.sql.parquet.outputTimestampType"
    with setting_kept(tables.spark, name):
        tables.spark.conf.set(name, "INT96")
        rows = local_frame(tables.spark, [old], f"{kinds}, value double")
        tables.stage(rows, INTERACTIONS, night)
    tables.copy_staged(INTERACTIONS, night)

    format_, events = warehouse.times(tables, date(1990, 1, 1))

    assert "1 tables, such as staged/interactions" in format_.seen
    assert "maintain" in format_.advice
    assert events.seen == f"1 interactions before 1990-01-01, of nights {night}"
    assert "Run these nights again" in events.advice
