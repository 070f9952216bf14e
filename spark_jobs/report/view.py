"""View: the tables as they stood at the end of a night, also when read later."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import INTERACTIONS, Table
from spark_jobs.night import Night
from spark_jobs.warehouse.tables import Tables


@dataclass(frozen=True)
class View:
    """The state of one night.

    Attributes:
        published: read what was published up to the night; otherwise what was published before it
            and what it staged itself, which is not served.
    """

    tables: Tables
    night: Night
    published: bool

    def state(self, table: Table, columns: Sequence[str]) -> DataFrame:
        """Return the active rows."""
        if self.published:
            next_night = Night(self.night.ds + timedelta(days=1))
            return self.tables.before(table, next_night, columns)
        return self.tables.as_of(table, self.night, columns)

    def of_tonight(self, table: Table) -> DataFrame:
        """Return the rows that the night itself wrote."""
        if self.published:
            return self.tables.read(table).filter(F.col("ds") == F.lit(self.night.ds))
        return self.tables.staged(table, self.night)

    def interactions(self) -> DataFrame:
        """Return every event up to the end of the night."""
        if self.published:
            return self.tables.read(INTERACTIONS).filter(F.col("ds") <= F.lit(self.night.ds))
        return self.tables.log(INTERACTIONS, self.night)
