"""Commit of a night's audited rows to the served tables, one transaction for each table."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import (
    ENCODED,
    ENCODING_STAGES,
    NIGHTS,
    PUBLISHED,
    STAGE_RUNS,
    TABLES,
    Table,
)
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.publish.online_stores import reporting_unavailable
from spark_jobs.warehouse.ledgers import without_backfills
from spark_jobs.warehouse.schemas import fingerprint
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

logger = logging.getLogger(__name__)

# Table -> encoder versions whose rows of a night the night itself wrote; of a table without an
# entry it wrote all rows.
Versions: TypeAlias = Mapping[str, tuple[str, ...]]
EVERY_VERSION: Versions = {}


@dataclass(frozen=True)
class StagedRows:
    """Tonight's staged rows of a table, counted.

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

    return run_concurrently(partial(counted, table) for table in PUBLISHED)


def was_recorded(tables: Tables, night: Night) -> bool:
    """Whether publish has committed this night before."""
    return not tables.recorded(NIGHTS, night, "publish").isEmpty()


def encoded_versions(tables: Tables, night: Night) -> Versions:
    """Return the encoder versions that tonight's stages encoded with, of each table that has any.

    Rows of others are not the night's to replace: the backfill of a release published them.
    """
    runs = without_backfills(tables.read(STAGE_RUNS)).filter(F.col("ds") == F.lit(night.ds))
    encoding = runs.filter(F.col("stage").isin(*ENCODING_STAGES))
    # An encoder with nothing to encode has a step, and no rows.
    steps = encoding.filter("encoder_version IS NOT NULL").select("step", "encoder_version")
    recorded = {(row["step"], row["encoder_version"]) for row in steps.distinct().collect()}

    def versions(name: str) -> tuple[str, ...]:
        staged = tables.staged(TABLES[name], night).select("encoder_version").distinct().collect()
        of_steps = {version for table, version in recorded if table == name}
        return tuple(sorted(of_steps | {row["encoder_version"] for row in staged}))

    return dict(
        zip(ENCODED, run_concurrently(partial(versions, name) for name in ENCODED), strict=True)
    )


def replaced_tables(tables: Tables, night: Night, versions: Versions) -> set[str]:
    """Return the tables whose served rows of tonight differ from the staged ones.

    A night that is run again on mended input has some; a rerun of the same input has none.
    """

    def differs(table: Table) -> bool:
        served = _served(tables, table, night, versions)
        return fingerprint(served, table) != fingerprint(tables.staged(table, night), table)

    different = run_concurrently(partial(differs, table) for table in PUBLISHED)
    return {table.name for table, is_so in zip(PUBLISHED, different, strict=True) if is_so}


def publish_tables(
    tables: Tables, night: Night, names: Collection[str], versions: Versions = EVERY_VERSION
) -> dict[str, int]:
    """Copy the staged rows of the named tables, several tables at a time.

    The other tables are created if they are missing, so that readers find them empty.

    Returns:
        table -> rows of tonight that readers see, of those encoder versions.
    """

    def publish(table: Table) -> int:
        if table.name in names:
            tables.copy_staged(table, night, versions.get(table.name))
        else:
            tables.create(table)
        return _served(tables, table, night, versions).count()

    served = run_concurrently(partial(publish, table) for table in PUBLISHED)
    return {table.name: rows for table, rows in zip(PUBLISHED, served, strict=True)}


def empty_views(
    store: "FeatureStore", replaced: set[str], versions: Versions = EVERY_VERSION
) -> None:
    """Empty the views of some tables online: the next materialization fills them from scratch.

    A key that only the replaced rows had would otherwise keep its online value for ever. To be
    called before the rows are replaced: a run that is killed in between fills the views again. To
    be called with the releases' lock held.

    Raises:
        OnlineStoreUnavailable: its server does not answer; nothing was replaced.
    """

    def is_stale(view: "FeatureView") -> bool:
        table, version = view.tags["table"], view.tags.get("encoder_version")
        return table in replaced and version in (versions.get(table) or (version,))

    stale = [view for view in store.list_feature_views() if is_stale(view)]
    if stale:
        logger.info("to be filled again: %s", ", ".join(view.name for view in stale))
        with reporting_unavailable(store):
            store.apply([], objects_to_delete=stale, partial=False)


def record_night(tables: Tables, night: Night, state: str, detail: str = "") -> None:
    """Record the state in which the night ended."""
    row = local_frame(tables.spark, [(state, detail)], "state string, detail string")
    tables.record(row, NIGHTS, night, "publish")


def last_recorded(tables: Tables) -> Night:
    """Return the latest night that publish has recorded, whether or not it ended well."""
    recorded = without_backfills(tables.read(NIGHTS)).filter("stage = 'publish'")
    return Night(recorded.agg(F.max("ds")).collect()[0][0])


def _served(tables: Tables, table: Table, night: Night, versions: Versions) -> DataFrame:
    rows = Snapshot(tables, night, "published").changes(table)
    if table.name in versions:
        return rows.filter(F.col("encoder_version").isin(*versions[table.name]))
    return rows
