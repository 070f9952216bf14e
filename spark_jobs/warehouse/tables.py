"""Tables: read, and a night's rows written. ``layout.py`` says where they lie."""

from collections.abc import Sequence
from typing import Any, cast

from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.contracts import ENCODER_VERSION, LOG_COLUMN_NAMES, NIGHTS, Table
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.warehouse.change_log import active_rows
from spark_jobs.warehouse.layout import Layout
from spark_jobs.warehouse.ledgers import is_of_release, partition_may_hold
from spark_jobs.warehouse.schemas import (
    conform,
    fingerprint,
    partitions,
    schema,
    with_missing_columns,
)


class Tables:
    """The tables of one warehouse.

    Attributes:
        backfills: the release whose backfill this is; None for nights. A backfill stages its rows
            in a folder of its own, and its rows of ledgers carry the release, so that those of the
            nights themselves stay.
    """

    def __init__(self, spark: SparkSession, warehouse: str, backfills: str | None = None) -> None:
        self.spark = spark
        self.backfills = backfills
        self.layout = Layout.of(warehouse)
        self.warehouse = self.layout.root

    # Reading

    def read(self, table: Table) -> DataFrame:
        """Return every row that readers see; none before the first write.

        A column that a ledger's contract has got since the table was written last is null.
        """
        return self._read(self.path(table), table)

    def staged(self, table: Table, night: Night) -> DataFrame:
        """Return the rows that tonight's stages wrote, whether or not they were published."""
        return self.all_staged(table).filter(_is_night(night))

    def all_staged(self, table: Table) -> DataFrame:
        """Return the staged rows of every night that are still there."""
        return self._read(self.staged_path(table), table)

    def recorded(self, table: Table, night: Night, stage: str) -> DataFrame:
        """Return the rows of a ledger about a stage of tonight; the table is not read for none.

        In a backfill they are those of its release.
        """
        if not self.may_hold(table, night, stage):
            return local_frame(self.spark, [], schema(table))
        rows = self.read(table).filter(_is_night(night) & (F.col("stage") == stage))
        return rows.filter(is_of_release(self.backfills))

    def current(self, table: Table, columns: Sequence[str] | None = None) -> DataFrame:
        """Return the published state: the latest row of each key that is active."""
        return active_rows(self.read(table), table, columns)

    # Writing

    def stage(self, rows: DataFrame, table: Table, night: Night) -> DataFrame:
        """Write tonight's rows of a log, replacing those of an earlier attempt; return them read
        back.

        ``event_timestamp``, ``created_timestamp`` and ``ds`` are filled in here.

        Raises:
            ContractBroken: columns are missing, unknown or of another type.
        """
        dated = (
            rows.drop(*LOG_COLUMN_NAMES)
            .withColumn("event_timestamp", F.lit(night.end))
            .withColumn("created_timestamp", F.current_timestamp())
            .withColumn("ds", F.lit(night.ds))
        )
        self._replace(conform(dated, table), table, self.staged_path(table), night)
        return self.staged(table, night)

    def add_to_cache(self, rows: DataFrame, table: Table) -> None:
        """Append rows whose keys are new, as the caller has checked. One commit: all or none."""
        stamped = rows.withColumn("created_timestamp", F.current_timestamp())
        path = self._ensure(self.path(table), table)
        writer = conform(stamped, table).write.format("delta").option("mergeSchema", "true")
        writer.mode("append").save(path)

    def record(self, rows: DataFrame, table: Table, night: Night, stage: str) -> None:
        """Write ledger rows of a stage of tonight, replacing those of an earlier attempt.

        A backfill replaces rows of its release alone, and a night none of a backfill.
        ``ds``, ``stage``, ``release`` and ``created_timestamp`` are filled in here.
        """
        release = self.backfills
        for name, value in (("stage", stage), ("release", release)):
            if value is not None and not value.replace("_", "").isalnum():
                raise ValueError(
                    f"{name} should be a name of letters, digits and '_', but is {value!r}."
                )
        stamped = (
            rows.withColumn("created_timestamp", F.current_timestamp())
            .withColumn("ds", F.lit(night.ds))
            .withColumn("stage", F.lit(stage))
            .withColumn("release", F.lit(release).cast("string"))
        )
        own = "release IS NULL" if release is None else f"release = '{release}'"
        self._replace(
            conform(stamped, table), table, self.path(table), night, stage=stage, only=own
        )

    def append(self, rows: DataFrame, table: Table) -> None:
        """Append rows to a ledger that is not about nights."""
        stamped = rows.withColumn("created_timestamp", F.current_timestamp())
        path = self._ensure(self.path(table), table)
        conform(stamped, table).write.format("delta").mode("append").save(path)

    def copy_staged(
        self, table: Table, night: Night, versions: Sequence[str] | None = None
    ) -> None:
        """Replace tonight's served rows by the staged ones, in one commit, without comparing.

        Args:
            versions: encoder versions whose rows are copied and replaced; None is all rows.
        """
        rows = self.staged(table, night)
        only = None if versions is None else _is_of_versions(versions)
        rows = rows.filter(only) if only else rows
        self._replace(rows, table, self.path(table), night, only=only)

    def create(self, table: Table) -> None:
        """Create the served table, empty and with the contract's comments, if it is not there."""
        self._ensure(self.path(table), table)

    # Describing

    def may_hold(self, table: Table, night: Night, stage: str) -> bool:
        """Whether a ledger may have rows of a stage of tonight, at the price of one look at its
        folders.

        False is certain; True is not: files of a write that was killed, or replaced, remain.
        """
        return partition_may_hold(self.spark, self.path(table), night.ds, stage)

    def exists(self, table: Table) -> bool:
        return bool(DeltaTable.isDeltaTable(self.spark, self.path(table)))

    def path(self, table: Table) -> str:
        return self.layout.table(table.name)

    def staged_path(self, table: Table) -> str:
        if self.backfills is None:
            return self.layout.staged_table(table.name)
        return f"{self.layout.backfill(self.backfills)}/{table.name}"

    def name_in_sql(self, table: Table) -> str:
        """Return the name by which SQL reaches the served table without a metastore."""
        return f"delta.`{self.path(table).replace('`', '``')}`"

    def description(self, table: Table) -> str | None:
        """Return the comment of the served table, which is there."""
        said = self._metadata(table).description()
        return None if said is None else str(said)

    def column_names(self, table: Table) -> list[str]:
        """Return the columns of the served table, which is there; those of its contract may be
        others.
        """
        return list(self._metadata(table).schema().fieldNames())

    def version(self, table: Table) -> int | None:
        """Return the Delta version of the served table; None before the first write."""
        if not self.exists(table):
            return None
        history = DeltaTable.forPath(self.spark, self.path(table)).history(1)
        return int(history.select("version").collect()[0][0])

    def checksum(self, table: Table) -> str:
        """Return ``<rows>:<hash>`` of what readers see, whatever its order and time of writing."""
        count, digest = fingerprint(self.read(table), table)
        return f"{count}:{digest:016x}"

    def last_published(self, night: Night | None = None) -> Night | None:
        """Return the latest published night, before ``night`` if given; None if there is none."""
        nights = self.read(NIGHTS).filter(F.col("state") == "published")
        if night is not None:
            nights = nights.filter(F.col("ds") < F.lit(night.ds))
        newest = nights.agg(F.max("ds")).collect()[0][0]
        return None if newest is None else Night(newest)

    # Details

    def _metadata(self, table: Table) -> Any:
        """Return Delta's own metadata of a served table, by its Java side: no rows are read."""
        log = cast(Any, self.spark._jvm).org.apache.spark.sql.delta.DeltaLog
        opened = log.forTable(cast(Any, self.spark)._jsparkSession, self.path(table))
        return opened.unsafeVolatileSnapshot().metadata()

    def _read(self, path: str, table: Table) -> DataFrame:
        if DeltaTable.isDeltaTable(self.spark, path):
            rows = self.spark.read.format("delta").load(path)
            return with_missing_columns(rows, table)
        return local_frame(self.spark, [], schema(table))

    def _replace(
        self,
        rows: DataFrame,
        table: Table,
        path: str,
        night: Night,
        *,
        stage: str | None = None,
        only: str | None = None,
    ) -> None:
        """Write rows of a night, and of a stage if given, in place of those that are there.

        Args:
            only: SQL condition of the rows to replace, where others share their folder.
        """
        self._ensure(path, table)
        # A contract that has got a column since the table was made: conform has looked at the rest.
        writer = rows.write.format("delta").option("mergeSchema", "true")
        # Finding nothing to replace costs Delta three times as much as the whole of an append, and
        # a night's first attempt never has anything to replace.
        parts = [f"ds = '{night}'", f"stage = '{stage}'" if stage else "", only or ""]
        condition = " AND ".join(filter(None, parts))
        found = partition_may_hold(self.spark, path, night.ds, stage)
        if found and only:
            found = not self._read(path, table).filter(condition).isEmpty()
        if found:
            writer.mode("overwrite").option("replaceWhere", condition).save(path)
        else:
            writer.mode("append").save(path)

    def _ensure(self, path: str, table: Table) -> str:
        if not DeltaTable.isDeltaTable(self.spark, path):
            self.create_at(path, table)
        return path

    def create_at(self, path: str, table: Table) -> None:
        """Create a table of a contract, empty, at a path where there is none."""
        # Array columns have no statistics worth their cost; the keys' are what readers prune by.
        keys = ",".join(key for key in table.keys if key not in ("ds", "stage"))
        builder = (
            DeltaTable.createIfNotExists(self.spark)
            .location(path)
            .comment(table.grain)
            .addColumns(schema(table))
            .property("delta.dataSkippingStatsColumns", keys)
            # DuckDB and deltalake do not read tables with deletion vectors.
            .property("delta.enableDeletionVectors", "false")
        )
        if partitions(table):
            builder = builder.partitionedBy(*partitions(table))
        builder.execute()


def _is_of_versions(versions: Sequence[str]) -> str:
    """Return the SQL condition that a row is of one of these encoder versions."""
    for version in versions:
        if not ENCODER_VERSION.fullmatch(version):
            raise ValueError(f"encoder version should be <name>@<12 hex>, but is {version!r}.")
    listed = ", ".join(f"'{version}'" for version in versions)
    return f"encoder_version IN ({listed or 'NULL'})"


def _is_night(night: Night) -> Column:
    return F.col("ds") == F.lit(night.ds)
