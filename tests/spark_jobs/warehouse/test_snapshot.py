from pyspark.sql import DataFrame

from spark_jobs.contracts import SPU_EMBEDDINGS, SPU_MEMBERS
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.warehouse.schemas import schema
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

FIRST, SECOND = Night.parse("2026-01-30"), Night.parse("2026-01-31")
COPE = "cope@0123456789ab"


def members(tables: Tables, **spus: str | None) -> DataFrame:
    """Return members by item; those without an SPU are tombstones."""
    rows = [
        ("page", item, spu or "gone", "attributes", 1.0, spu is not None)
        for item, spu in spus.items()
    ]
    ddl = "domain string, item_id string, spu_id string, assigned_by string, "
    return local_frame(tables.spark, rows, ddl + "confidence double, is_active boolean")


def spus_of(rows: DataFrame) -> dict[str, str]:
    return {row["item_id"]: row["spu_id"] for row in rows.collect()}


def staged_night(tables: Tables, night: Night, **spus: str | None) -> None:
    tables.stage(members(tables, **spus), SPU_MEMBERS, night)


def published_night(tables: Tables, night: Night, **spus: str | None) -> None:
    staged_night(tables, night, **spus)
    tables.copy_staged(SPU_MEMBERS, night)


def test_a_staged_night_is_what_was_served_before_and_what_it_staged(tables: Tables) -> None:
    published_night(tables, FIRST, a="s1", b="s1")
    staged_night(tables, SECOND, a="s2", b=None)

    night = Snapshot(tables, SECOND, "staged")

    assert spus_of(night.state_before(SPU_MEMBERS)) == {"a": "s1", "b": "s1"}
    assert spus_of(night.state(SPU_MEMBERS)) == {"a": "s2"}
    assert spus_of(night.changes(SPU_MEMBERS)) == {"a": "s2", "b": "gone"}
    assert night.log(SPU_MEMBERS).count() == 4
    assert spus_of(tables.current(SPU_MEMBERS)) == {"a": "s1", "b": "s1"}


def test_a_rerun_of_an_old_night_sees_what_its_first_run_saw(tables: Tables) -> None:
    published_night(tables, FIRST, a="s1")
    published_night(tables, SECOND, a="s2")

    night = Snapshot(tables, FIRST, "staged")

    assert spus_of(night.state_before(SPU_MEMBERS)) == {}
    assert spus_of(night.state(SPU_MEMBERS)) == {"a": "s1"}


def test_a_published_night_is_what_is_served_of_it_whatever_is_staged(tables: Tables) -> None:
    published_night(tables, FIRST, a="s1")
    published_night(tables, SECOND, a="s2")
    staged_night(tables, FIRST, a="run again")

    night = Snapshot(tables, FIRST, "published")

    assert spus_of(night.state(SPU_MEMBERS)) == {"a": "s1"}
    assert spus_of(night.changes(SPU_MEMBERS)) == {"a": "s1"}
    assert spus_of(Snapshot(tables, SECOND, "published").state_before(SPU_MEMBERS)) == {"a": "s1"}
    assert night.log(SPU_MEMBERS).count() == 1


def test_a_stage_of_a_backfill_reads_served_tables_and_the_vectors_that_it_staged(
    tables: Tables,
) -> None:
    published_night(tables, FIRST, a="s1")
    staged_night(tables, FIRST, a="run again")
    backfill = Tables(tables.spark, tables.warehouse, backfills="r2")
    row = ("s1", COPE, [1.0], "hash", True)
    ddl = "spu_id string, encoder_version string, embedding array<float>, content_hash string, "
    vectors = local_frame(tables.spark, [row], ddl + "is_active boolean")
    backfill.stage(vectors, SPU_EMBEDDINGS, FIRST)

    seen = Snapshot.of_stage(backfill, FIRST)

    assert seen.source == "backfill"
    assert spus_of(seen.state(SPU_MEMBERS)) == {"a": "s1"}
    assert [r["spu_id"] for r in seen.state(SPU_EMBEDDINGS, ["spu_id"]).collect()] == ["s1"]
    assert Snapshot.of_stage(tables, FIRST).state(SPU_EMBEDDINGS).isEmpty()
    assert seen.changes(SPU_EMBEDDINGS).columns == schema(SPU_EMBEDDINGS).names
