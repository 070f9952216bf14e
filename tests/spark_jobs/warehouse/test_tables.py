from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import (
    NIGHTS,
    QUARANTINE,
    SPU_MEMBERS,
    STAGE_RUNS,
)
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.warehouse.schemas import ContractBroken
from spark_jobs.warehouse.tables import Tables

FIRST, SECOND = Night.parse("2026-01-30"), Night.parse("2026-01-31")


def members(tables: Tables, *rows: tuple[str, str, bool]) -> DataFrame:
    return local_frame(
        tables.spark,
        [("page", item, spu, "attributes", 1.0, active) for item, spu, active in rows],
        "domain string, item_id string, spu_id string, assigned_by string,"
        "confidence double, is_active boolean",
    )


def state(frame: DataFrame) -> list[tuple[str, str]]:
    return sorted((row["item_id"], row["spu_id"]) for row in frame.collect())


def test_staging_again_replaces_the_rows_of_that_night_alone(tables: Tables) -> None:
    tables.stage(members(tables, ("a", "s1", True)), SPU_MEMBERS, FIRST)
    tables.stage(members(tables, ("b", "s1", True)), SPU_MEMBERS, SECOND)
    tables.stage(members(tables, ("c", "s1", True)), SPU_MEMBERS, SECOND)

    assert state(tables.staged(SPU_MEMBERS, FIRST)) == [("a", "s1")]
    assert state(tables.staged(SPU_MEMBERS, SECOND)) == [("c", "s1")]


def test_publishing_a_mended_night_replaces_its_rows(tables: Tables) -> None:
    for spu in ("wrong", "right"):
        tables.stage(members(tables, ("a", spu, True)), SPU_MEMBERS, FIRST)
        tables.copy_staged(SPU_MEMBERS, FIRST)

    assert state(tables.read(SPU_MEMBERS)) == [("a", "right")]


def test_checksum_tells_tables_with_other_rows_apart(tables: Tables) -> None:
    tables.stage(members(tables, ("a", "s1", True)), SPU_MEMBERS, FIRST)
    tables.copy_staged(SPU_MEMBERS, FIRST)
    before = tables.checksum(SPU_MEMBERS)

    tables.stage(members(tables, ("a", "s2", True)), SPU_MEMBERS, FIRST)
    tables.copy_staged(SPU_MEMBERS, FIRST)

    assert tables.checksum(SPU_MEMBERS) != before


def test_rows_that_break_the_contract_are_refused_with_every_problem_named(tables: Tables) -> None:
    rows = local_frame(tables.spark, [("page", 7, 1)], "domain string, item_id int, extra int")

    with pytest.raises(ContractBroken) as error:
        tables.stage(rows, SPU_MEMBERS, FIRST)

    for problem in (
        "item_id should be string but is int",
        "spu_id should be string but is missing",
        "extra is not a column",
        "spark_jobs/contracts.py",
    ):
        assert problem in str(error.value)
    assert tables.staged(SPU_MEMBERS, FIRST).isEmpty()


def test_a_ledger_keeps_the_rows_of_other_stages_and_nights(tables: Tables) -> None:
    def refused(key: str) -> DataFrame:
        return local_frame(
            tables.spark,
            [("feed", "title_empty", "row", key, "{}")],
            "source string, reason string, scope string, record_key string, payload string",
        )

    tables.record(refused("a"), QUARANTINE, FIRST, "ingest")
    tables.record(refused("b"), QUARANTINE, FIRST, "item_embeddings")
    tables.record(refused("c"), QUARANTINE, FIRST, "ingest")

    keys = sorted(row["record_key"] for row in tables.read(QUARANTINE).collect())
    assert keys == ["b", "c"]


def test_a_ledger_may_hold_rows_of_the_stages_that_wrote_tonight_alone(tables: Tables) -> None:
    row = local_frame(tables.spark, [("failed", "")], "state string, detail string")
    assert not tables.may_hold(NIGHTS, FIRST, "validation")

    tables.record(row, NIGHTS, FIRST, "validation")

    assert tables.may_hold(NIGHTS, FIRST, "validation")
    assert not tables.may_hold(NIGHTS, FIRST, "publish")
    assert not tables.may_hold(NIGHTS, SECOND, "validation")


def test_recording_no_rows_takes_back_those_of_an_earlier_attempt(tables: Tables) -> None:
    row = local_frame(tables.spark, [("failed", "")], "state string, detail string")
    tables.record(row, NIGHTS, FIRST, "validation")
    tables.record(row, NIGHTS, FIRST, "publish")

    tables.record(row.limit(0), NIGHTS, FIRST, "validation")

    assert [row["stage"] for row in tables.read(NIGHTS).collect()] == ["publish"]


def states_of(tables: Tables) -> list[tuple[str | None, str]]:
    rows = tables.read(NIGHTS).orderBy(F.asc_nulls_first("release")).collect()
    return [(row["release"], row["state"]) for row in rows]


def test_a_backfill_replaces_its_own_rows_of_a_ledger_and_a_night_its_own(tables: Tables) -> None:
    def ended(state: str) -> DataFrame:
        return local_frame(tables.spark, [(state, "")], "state string, detail string")

    backfill = Tables(tables.spark, tables.warehouse, backfills="r2")
    for state_ in ("failed", "published"):
        tables.record(ended(state_), NIGHTS, FIRST, "publish")
        backfill.record(ended(f"{state_} in r2"), NIGHTS, FIRST, "publish")

    assert states_of(tables) == [(None, "published"), ("r2", "published in r2")]
    assert [r["state"] for r in tables.recorded(NIGHTS, FIRST, "publish").collect()] == [
        "published"
    ]
    assert [r["state"] for r in backfill.recorded(NIGHTS, FIRST, "publish").collect()] == [
        "published in r2"
    ]

    backfill.record(ended("").limit(0), NIGHTS, FIRST, "publish")
    assert states_of(tables) == [(None, "published")]


def test_a_stage_name_never_reaches_sql_unchecked(tables: Tables) -> None:
    with pytest.raises(ValueError, match="letters, digits"):
        tables.record(tables.read(NIGHTS), NIGHTS, FIRST, "x' OR '1' = '1")
    backfill = Tables(tables.spark, tables.warehouse, backfills="r2' OR '1' = '1")
    with pytest.raises(ValueError, match="release should be a name of letters, digits"):
        backfill.record(tables.read(NIGHTS), NIGHTS, FIRST, "publish")


def test_last_published_is_the_latest_night_that_ended_well(tables: Tables) -> None:
    for night, state_ in ((FIRST, "published"), (SECOND, "failed")):
        row = local_frame(tables.spark, [(state_, "")], "state string, detail string")
        tables.record(row, NIGHTS, night, "publish")

    assert tables.last_published() == FIRST
    assert tables.last_published(FIRST) is None


def test_a_relative_warehouse_is_one_of_the_folder_the_run_started_in(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = Tables(tables.spark, "some warehouse")

    relative.stage(members(relative, ("a", "s1", True)), SPU_MEMBERS, FIRST)

    assert state(relative.staged(SPU_MEMBERS, FIRST)) == [("a", "s1")]
    assert (tmp_path / "some warehouse" / "staged").is_dir()


def test_a_ledger_gets_the_columns_that_its_contract_has_got_since(tables: Tables) -> None:
    older = replace(STAGE_RUNS, ddl=STAGE_RUNS.ddl.split(",\n    files")[0])
    columns = "step string, encoder_version string, rows_in bigint, rows_out bigint, "
    columns += "rows_quarantined bigint, rows_encoded bigint, rows_spared bigint, seconds double, "
    columns += "stage_seconds double"
    row = ("feed", None, 1, 1, 0, None, None, 2.0, 3.0)
    tables.record(local_frame(tables.spark, [row], columns), older, FIRST, "ingest")
    assert [r["lines"] for r in tables.read(STAGE_RUNS).collect()] == [None]
    counts = "files bigint, lines bigint, bytes bigint"
    now = local_frame(tables.spark, [(*row, 1, 2, 30)], f"{columns}, {counts}")

    for _ in range(2):
        tables.record(now, STAGE_RUNS, SECOND, "ingest")

    found = tables.read(STAGE_RUNS).orderBy("ds").select("ds", "files", "lines", "bytes")
    assert [tuple(row) for row in found.collect()] == [
        (FIRST.ds, None, None, None),
        (SECOND.ds, 1, 2, 30),
    ]
