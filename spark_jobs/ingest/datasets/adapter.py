"""Adapter of a public data set: its reading functions, and the window of time of a night."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F


@dataclass(frozen=True)
class Window:
    """The span of time that a night takes out of a data set.

    Attributes:
        after: events before this moment were taken by an earlier night; None on the first.
        until: end of the night; later events are not known yet.
    """

    after: datetime | None
    until: datetime

    def holds(self, moment: Column) -> Column:
        """Return whether a moment is in the window."""
        new = F.lit(True) if self.after is None else moment >= F.lit(self.after)
        return new & self.known(moment)

    def known(self, moment: Column) -> Column:
        """Return whether a moment is before the night's end, in this window or before it."""
        return moment < F.lit(self.until)


Reader = Callable[[SparkSession, str, Window], DataFrame]


@dataclass(frozen=True)
class Adapter:
    """Functions that return a data set's folder as frames in the columns of a feed.

    Attributes:
        items: active items as of the window's end; one row an item.
        interactions: events in the window; None where the data set has none.
    """

    items: Reader
    interactions: Reader | None = None
