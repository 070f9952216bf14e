"""Comments of existing tables are updated to those of the contracts."""

from dataclasses import replace

from delta.tables import DeltaTable

from spark_jobs.contracts import ITEM_EMBEDDINGS, SPU_MEMBERS, Table
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.warehouse.delta_files import update_comments
from spark_jobs.warehouse.schemas import schema
from spark_jobs.warehouse.tables import Tables

NIGHT = Night.parse("2026-01-31")


def create_with_older_comments(tables: Tables, table: Table) -> None:
    ddl = table.ddl.replace("COMMENT '", "COMMENT 'formerly ")
    tables.create(replace(table, ddl=ddl, grain="formerly another grain"))


def found_comments(tables: Tables, table: Table) -> dict[str, str]:
    return {column.name: column.metadata["comment"] for column in tables.read(table).schema}


def contract_comments(table: Table) -> dict[str, str]:
    return {column.name: column.metadata["comment"] for column in schema(table)}


def test_comments_of_an_older_table_become_those_of_the_contract(tables: Tables) -> None:
    create_with_older_comments(tables, ITEM_EMBEDDINGS)
    assert found_comments(tables, ITEM_EMBEDDINGS) != contract_comments(ITEM_EMBEDDINGS)

    assert update_comments(tables) == ["item_embeddings"]

    assert found_comments(tables, ITEM_EMBEDDINGS) == contract_comments(ITEM_EMBEDDINGS)
    detail = DeltaTable.forPath(tables.spark, tables.path(ITEM_EMBEDDINGS)).detail()
    assert detail.select("description").collect()[0][0] == ITEM_EMBEDDINGS.grain


def test_new_comments_change_no_row_and_are_written_once(tables: Tables) -> None:
    create_with_older_comments(tables, SPU_MEMBERS)
    row = ("page", "a", "s1", "attributes", 1.0, True)
    columns = "domain string, item_id string, spu_id string, assigned_by string, confidence double"
    rows = local_frame(tables.spark, [row], f"{columns}, is_active boolean")
    tables.stage(rows, SPU_MEMBERS, NIGHT)
    tables.copy_staged(SPU_MEMBERS, NIGHT)
    checksum = tables.checksum(SPU_MEMBERS)
    files = tables.read(SPU_MEMBERS).inputFiles()

    update_comments(tables)
    version = tables.version(SPU_MEMBERS)

    assert update_comments(tables) == []
    assert tables.version(SPU_MEMBERS) == version
    assert tables.checksum(SPU_MEMBERS) == checksum
    assert tables.read(SPU_MEMBERS).inputFiles() == files


def test_update_comments_creates_no_table(tables: Tables) -> None:
    assert update_comments(tables) == []
    assert not tables.exists(SPU_MEMBERS)
