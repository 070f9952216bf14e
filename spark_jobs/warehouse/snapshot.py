"""Snapshot: the tables as of one night."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import ENCODED, Table
from spark_jobs.night import Night
from spark_jobs.warehouse.change_log import active_rows, last_rows
from spark_jobs.warehouse.tables import Tables

Source: TypeAlias = Literal["staged", "published", "backfill"]


@dataclass(frozen=True)
class Snapshot:
    """The tables as of the end of a night; what later nights wrote is left out.

    Attributes:
        source: which rows are those that the night itself wrote. ``staged``: those that its stages
            staged, served or not. ``published``: those that are served. ``backfill``: the vectors
            that the backfill of a release staged, and whatever else is served.
    """

    tables: Tables
    night: Night
    source: Source

    @classmethod
    def of_stage(cls, tables: Tables, night: Night) -> "Snapshot":
        """Return what a stage of the night reads, in a backfill too."""
        return cls(tables, night, "staged" if tables.backfills is None else "backfill")

    def state(self, table: Table, columns: Sequence[str] | None = None) -> DataFrame:
        """Return the state at the end of the night: the latest row of each key, if it is active.

        Args:
            columns: those to carry. Name them where the table has vectors that are not needed.
        """
        return active_rows(self.log(table), table, columns)

    def state_before(self, table: Table, columns: Sequence[str] | None = None) -> DataFrame:
        """Return the state at the start of the night; a rerun sees what the first run saw."""
        return active_rows(self.log_before(table), table, columns)

    def last_rows(self, table: Table, columns: Sequence[str]) -> DataFrame:
        """Return the last row of each key up to the end of the night; a removed key's too."""
        return last_rows(self.log(table), table, columns)

    def last_rows_before(self, table: Table, columns: Sequence[str]) -> DataFrame:
        """Return the last row of each key up to the start of the night; a removed key's too."""
        return last_rows(self.log_before(table), table, columns)

    def log(self, table: Table) -> DataFrame:
        """Return all rows up to the end of the night."""
        if self._is_served(table):
            return self.tables.read(table).filter(F.col("ds") <= F.lit(self.night.ds))
        return self.log_before(table).unionByName(self.changes(table))

    def log_before(self, table: Table) -> DataFrame:
        """Return the rows of earlier nights, which are served."""
        return self.tables.read(table).filter(F.col("ds") < F.lit(self.night.ds))

    def changes(self, table: Table) -> DataFrame:
        """Return the rows that the night itself wrote."""
        if self._is_served(table):
            return self.tables.read(table).filter(F.col("ds") == F.lit(self.night.ds))
        return self.tables.staged(table, self.night)

    def _is_served(self, table: Table) -> bool:
        is_encoded = table.name in ENCODED
        return self.source == "published" or (self.source == "backfill" and not is_encoded)
