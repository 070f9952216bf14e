"""Small frames are computed in one job, and staged columns are compared with the contract."""

from pathlib import Path
from typing import ClassVar

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.contracts import PUBLISHED, SPU_EVENTS, Table
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.warehouse.schemas import schema
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables
from validation.measurements.figures import Figure
from validation.measurements.night import observed, schema_figures


def test_frames_of_any_columns_are_computed_together(spark: SparkSession) -> None:
    counts = local_frame(spark, [(1, "a"), (2, None)], "n long, name string")
    shares = local_frame(spark, [(0.5,)], "share double")
    nothing = local_frame(spark, [], "x int")

    found = observed({"counts": counts, "shares": shares, "nothing": nothing})

    assert sorted(found["counts"], key=lambda row: row["n"]) == [{"n": 1, "name": "a"}, {"n": 2}]
    assert found["shares"] == [{"share": 0.5}]
    assert found["nothing"] == []


class StagedTables(Tables):
    """Empty staged tables, one of which may have other columns."""

    changed: ClassVar[dict[str, DataFrame]] = {}

    def staged(self, table: Table, night: Night) -> DataFrame:
        return self.changed.get(table.name, self.spark.createDataFrame([], schema(table)))


@pytest.fixture
def staged(spark: SparkSession, tmp_path: Path) -> StagedTables:
    return StagedTables(spark, str(tmp_path / "warehouse"))


def test_tables_of_the_contract_have_no_difference(staged: StagedTables, night: Night) -> None:
    figures = schema_figures(Snapshot(staged, night, "staged"))

    assert [figure.table for figure in figures] == [table.name for table in PUBLISHED]
    assert {figure.value for figure in figures} == {0}
    assert figures[0].seen == f"all {len(schema(PUBLISHED[0]))} columns"


def test_missing_unknown_and_changed_columns_are_named(
    staged: StagedTables, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = staged.staged(SPU_EVENTS, night)
    other = events.drop("event").withColumn("extra", F.lit(1)).withColumn("ds", F.lit("today"))
    monkeypatch.setattr(staged, "changed", {SPU_EVENTS.name: other})

    figures = {figure.table: figure for figure in schema_figures(Snapshot(staged, night, "staged"))}

    assert figures[SPU_EVENTS.name] == Figure(
        SPU_EVENTS.name,
        "schema_differences",
        3.0,
        "ds should be date but is string; event should be string but is missing; "
        "extra is not a column of the table",
    )
