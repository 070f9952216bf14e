"""How a night's audited rows get into the served tables, each table in one commit."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial, reduce
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import NIGHTS, PUBLISHED, TABLES, Table
from spark_jobs.frames import local_frame
from spark_jobs.nights import Night
from spark_jobs.parallel import at_once
from spark_jobs.tables import Tables, fingerprint

if TYPE_CHECKING:
    from feast import FeatureStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TableRows:
    """Tonight's rows of a table: written by its stage, and visible to readers.

    Attributes:
        newest: when the last staged row was written; None without staged rows.
    """

    name: str
    staged: int
    served: int
    newest: datetime | None


def night_rows(tables: Tables, night: Night) -> list[TableRows]:
    """Count tonight's rows of every published table, in one query."""
    # One shuffle for all of them: an aggregate a table would be a query a table.
    rows_of_all = [
        rows.select(
            F.lit(table.name).alias("name"), F.lit(place).alias("place"), "created_timestamp"
        )
        for table in PUBLISHED
        for place, rows in (
            ("staged", tables.staged(table, night)),
            ("served", tables.read(table).filter(F.col("ds") == F.lit(night.ds))),
        )
    ]
    counts = (
        reduce(DataFrame.unionByName, rows_of_all)
        .groupBy("name", "place")
        .agg(F.count("*").alias("rows"), F.max("created_timestamp").alias("newest"))
    )
    found = {(row["name"], row["place"]): (row["rows"], row["newest"]) for row in counts.collect()}
    nothing = (0, None)
    tonight = []
    for table in PUBLISHED:
        staged, newest = found.get((table.name, "staged"), nothing)
        served, _ = found.get((table.name, "served"), nothing)
        tonight.append(TableRows(table.name, staged, served, newest))
    return tonight


def replaced_tables(tables: Tables, night: Night, rows: Sequence[TableRows]) -> set[str]:
    """Return the tables of which other rows of tonight are served than are staged.

    That is a night run again on mended input. A rerun of the same input replaces nothing.
    """

    def is_replaced(table: Table) -> bool:
        served = tables.read(table).filter(F.col("ds") == F.lit(night.ds))
        return fingerprint(served, table) != fingerprint(tables.staged(table, night), table)

    published_before = [TABLES[table.name] for table in rows if table.served]
    replaced = at_once(partial(is_replaced, table) for table in published_before)
    return {table.name for table, is_so in zip(published_before, replaced, strict=True) if is_so}


def publish_tables(
    tables: Tables, night: Night, rows: Sequence[TableRows], *, replaced: set[str]
) -> None:
    """Copy the staged rows of every table that does not serve them yet, several tables at a time.

    A table without staged rows is created, so that readers find it empty rather than missing.
    """

    def publish(table: TableRows) -> None:
        if table.name in replaced or (table.staged and not table.served):
            tables.copy_staged(TABLES[table.name], night)
        else:
            tables.create(TABLES[table.name])

    at_once(partial(publish, table) for table in rows)


def forget_views(store: "FeatureStore", replaced: set[str]) -> None:
    """Drop the online values of the views of some tables: they are filled from the beginning.

    A key that only the replaced rows had would otherwise keep its online value for ever. To be
    called before the rows are replaced: a run that is killed in between fills the views again.
    """
    stale = [view for view in store.list_feature_views() if view.tags["table"] in replaced]
    if stale:
        logger.info("to be filled again: %s", ", ".join(view.name for view in stale))
        store.apply([], objects_to_delete=stale, partial=False)


def record_night(tables: Tables, night: Night, state: str, detail: str = "") -> None:
    """Write down how the night ended."""
    row = local_frame(tables.spark, [(state, detail)], "state string, detail string")
    tables.record(row, NIGHTS, night, "publish")


def last_published(tables: Tables) -> Night:
    """Return the latest night that publish has recorded."""
    recorded = tables.read(NIGHTS).filter("stage = 'publish'")
    return Night(recorded.agg(F.max("ds")).collect()[0][0])
