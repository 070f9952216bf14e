"""View: the tables as they stood at the end of a night, whenever they are asked."""

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
        published: take what was published up to the night. Otherwise take what the night staged
            upon what was published before: nobody else has read that.
    """

    tables: Tables
    night: Night
    published: bool

    def state(self, table: Table, columns: Sequence[str]) -> DataFrame:
        """Return the keys in force."""
        if self.published:
            following = Night(self.night.ds + timedelta(days=1))
            return self.tables.before(table, following, columns)
        return self.tables.as_of(table, self.night, columns)

    def of_tonight(self, table: Table) -> DataFrame:
        """Return the rows that the night itself wrote."""
        if self.published:
            return self.tables.read(table).filter(F.col("ds") == F.lit(self.night.ds))
        return self.tables.staged(table, self.night)

    def vectors(self, table: Table, encoder_version: str, key: str) -> DataFrame:
        """Return the vectors in force of an encoder: the key column and ``embedding``."""
        rows = self.state(table, [key, "encoder_version", "embedding"])
        is_of_encoder = F.col("encoder_version") == F.lit(encoder_version)
        return rows.filter(is_of_encoder & F.col("embedding").isNotNull()).select(key, "embedding")

    def item_vectors(self, table: Table, encoder_version: str) -> DataFrame:
        """Return the vectors in force of an encoder of items: domain, item_id, embedding."""
        rows = self.state(table, ["domain", "item_id", "encoder_version", "embedding"])
        is_of_encoder = F.col("encoder_version") == F.lit(encoder_version)
        kept = rows.filter(is_of_encoder & F.col("embedding").isNotNull())
        return kept.select("domain", "item_id", "embedding")

    def interactions(self) -> DataFrame:
        """Return every event up to the end of the night."""
        if self.published:
            return self.tables.read(INTERACTIONS).filter(F.col("ds") <= F.lit(self.night.ds))
        return self.tables.log(INTERACTIONS, self.night)
