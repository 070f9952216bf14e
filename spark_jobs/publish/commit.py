"""How a night's audited rows get into the served tables, each table in one commit."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import NIGHTS, PUBLISHED, Table
from spark_jobs.frames import local_frame
from spark_jobs.nights import Night
from spark_jobs.parallel import at_once
from spark_jobs.publish.online_server import named_if_unavailable
from spark_jobs.tables import Tables, fingerprint

if TYPE_CHECKING:
    from feast import FeatureStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StagedRows:
    """Tonight's rows of a table, as its stage wrote them.

    Attributes:
        newest: when the last of them was written; None where there are none.
    """

    name: str
    rows: int
    newest: datetime | None


def staged_rows(tables: Tables, night: Night) -> list[StagedRows]:
    """Count what is staged of every published table."""

    def counted(table: Table) -> StagedRows:
        rows = tables.staged(table, night)
        count, newest = rows.agg(F.count("*"), F.max("created_timestamp")).collect()[0]
        return StagedRows(table.name, count, newest)

    return at_once(partial(counted, table) for table in PUBLISHED)


def was_recorded(tables: Tables, night: Night) -> bool:
    """Whether publish has come as far as the online store with this night before."""
    return not tables.recorded(NIGHTS, night, "publish").isEmpty()


def replaced_tables(tables: Tables, night: Night) -> set[str]:
    """Return the tables of which other rows of tonight are served than are staged.

    That is a night run again on mended input. A rerun of the same input replaces nothing.
    """

    def is_replaced(table: Table) -> bool:
        served = _served(tables, table, night)
        return fingerprint(served, table) != fingerprint(tables.staged(table, night), table)

    replaced = at_once(partial(is_replaced, table) for table in PUBLISHED)
    return {table.name for table, is_so in zip(PUBLISHED, replaced, strict=True) if is_so}


def publish_tables(tables: Tables, night: Night, names: Collection[str]) -> dict[str, int]:
    """Copy the staged rows of the named tables, several tables at a time.

    The other tables are created where they are not there, so that readers find them empty rather
    than missing.

    Returns:
        How many rows of tonight readers see of each published table.
    """

    def publish(table: Table) -> int:
        if table.name in names:
            tables.copy_staged(table, night)
        else:
            tables.create(table)
        return _served(tables, table, night).count()

    served = at_once(partial(publish, table) for table in PUBLISHED)
    return {table.name: rows for table, rows in zip(PUBLISHED, served, strict=True)}


def forget_views(store: "FeatureStore", replaced: set[str]) -> None:
    """Drop the online values of the views of some tables: they are filled from the beginning.

    A key that only the replaced rows had would otherwise keep its online value for ever. To be
    called before the rows are replaced: a run that is killed in between fills the views again.

    Raises:
        OnlineStoreUnavailable: its server does not answer; nothing was replaced.
    """
    stale = [view for view in store.list_feature_views() if view.tags["table"] in replaced]
    if stale:
        logger.info("to be filled again: %s", ", ".join(view.name for view in stale))
        with named_if_unavailable(store):
            store.apply([], objects_to_delete=stale, partial=False)


def record_night(tables: Tables, night: Night, state: str, detail: str = "") -> None:
    """Write down how the night ended."""
    row = local_frame(tables.spark, [(state, detail)], "state string, detail string")
    tables.record(row, NIGHTS, night, "publish")


def last_recorded(tables: Tables) -> Night:
    """Return the latest night that publish has recorded, whether or not it ended well."""
    recorded = tables.read(NIGHTS).filter("stage = 'publish'")
    return Night(recorded.agg(F.max("ds")).collect()[0][0])


def _served(tables: Tables, table: Table, night: Night) -> DataFrame:
    return tables.read(table).filter(F.col("ds") == F.lit(night.ds))
