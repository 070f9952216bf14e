"""What maintenance has removed of a night is missed until the night's own stages have run again."""

import pytest

from spark_jobs.contracts import STAGE_RUNS
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step, record_steps
from spark_jobs.warehouse.retention import StagedRowsRemoved, check_staged, remove_staged
from spark_jobs.warehouse.tables import Tables

BEFORE_PUBLISH = ("ingest", "spu", "item_embeddings", "spu_embeddings", "user_embeddings")


def run_stages(tables: Tables, night: Night) -> None:
    for stage in BEFORE_PUBLISH:
        record_steps(tables, night, stage, [Step("rows", 1, 1)], 1.0)


def test_a_night_whose_staged_rows_are_gone_is_run_again_before_it_is_published(
    tables: Tables, night: Night
) -> None:
    run_stages(tables, night)
    check_staged(tables, night, "publish")
    remove_staged(tables, {night: 5})

    with pytest.raises(StagedRowsRemoved, match="ingest, spu, item_embeddings"):
        check_staged(tables, night, "publish")

    run_stages(tables, night)
    check_staged(tables, night, "publish")


@pytest.mark.slow
def test_the_stages_of_a_backfill_do_not_stand_for_the_nights_own(
    tables: Tables, night: Night
) -> None:
    run_stages(tables, night)
    remove_staged(tables, {night: 5})

    run_stages(Tables(tables.spark, tables.warehouse, backfills="r2"), night)

    assert tables.read(STAGE_RUNS).count() == 2 * len(BEFORE_PUBLISH) + 1
    with pytest.raises(StagedRowsRemoved):
        check_staged(tables, night, "publish")
