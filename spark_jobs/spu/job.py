"""Resolve one night's items to SPUs.

Reads ``items`` as of tonight, ``spu_members`` and ``spus`` before tonight; stages ``spus``,
``spu_members`` and ``spu_events``. Pages are grouped by their attributes, videos and live slices
join by the pages they link to.

Pages are collected to the driver, so its memory bounds the catalogue; tried up to 100,000 pages.

    spark-submit spark_jobs/spu/job.py --config spark_jobs/conf/local.toml --ds 2026-01-31
"""

import logging
from collections.abc import Sequence
from functools import partial

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from spark_jobs.config import Config
from spark_jobs.contracts import ITEMS, SPU_EVENTS, SPU_MEMBERS, SPUS, Table
from spark_jobs.engine.concurrency import gc_paused, run_concurrently
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step, job_main
from spark_jobs.spu.nightly import (
    ITEM_COLUMNS,
    MEMBER_COLUMNS,
    SPU_COLUMNS,
    Resolved,
    Row,
    Yesterday,
    resolved_spus,
)
from spark_jobs.warehouse.change_log import changed_rows
from spark_jobs.warehouse.schemas import schema
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

logger = logging.getLogger(__name__)

# Confidence moves a little every night; a member changes when its SPU does.
_MEMBER_PAYLOAD = ("spu_id", "assigned_by")


@gc_paused()
def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
    """Resolve tonight's items and stage what changed; see the module."""
    snapshot = Snapshot.of_stage(tables, night)
    items = collected(snapshot.state(ITEMS, ITEM_COLUMNS))
    members_before = snapshot.state_before(SPU_MEMBERS, MEMBER_COLUMNS)
    spus_before = snapshot.state_before(SPUS, SPU_COLUMNS)
    yesterday = Yesterday(collected(members_before), collected(spus_before))
    tonight = resolved_spus(items, yesterday, config=config.spu, night=night)

    members = _rows(tables, tonight.members, SPU_MEMBERS, MEMBER_COLUMNS)
    spus = _rows(tables, tonight.spus, SPUS, SPU_COLUMNS)
    changed_members = changed_rows(
        members_before, members, keys=SPU_MEMBERS.keys, payload=_MEMBER_PAYLOAD
    )
    changed_spus = changed_rows(spus_before, spus, keys=SPUS.keys, payload=SPU_COLUMNS[1:])
    events = _rows(tables, tonight.events, SPU_EVENTS, SPU_EVENTS.keys)
    staged = ((changed_members, SPU_MEMBERS), (changed_spus, SPUS), (events, SPU_EVENTS))
    run_concurrently(partial(tables.stage, rows, table, night) for rows, table in staged)
    return _steps(items, tonight, night)


def _steps(items: pd.DataFrame, tonight: Resolved, night: Night) -> Sequence[Step]:
    logger.info(
        "spu night=%s items=%d spus=%d members=%d unassigned=%d events=%d",
        night,
        len(items),
        len(tonight.spus),
        len(tonight.members),
        tonight.n_unassigned,
        len(tonight.events),
    )
    resolved = len(tonight.members) + tonight.n_unassigned
    return [Step("spu_members", rows_in=len(items), rows_out=resolved)]


def collected(rows: DataFrame) -> pd.DataFrame:
    """Return rows in the driver's memory, maps as dicts."""
    frame: pd.DataFrame = rows.toArrow().to_pandas(maps_as_pydicts="strict")
    return frame


def _rows(tables: Tables, rows: list[Row], table: Table, columns: Sequence[str]) -> DataFrame:
    types = T.StructType([field for field in schema(table) if field.name in columns])
    return local_frame(tables.spark, [[row[name] for name in types.names] for row in rows], types)


if __name__ == "__main__":
    job_main("spu", run)
