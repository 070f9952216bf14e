"""Window: which part of a data set has happened, and is new, as seen from a night?"""

from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import Column
from pyspark.sql import functions as F


@dataclass(frozen=True)
class Window:
    """The span of time that a night takes out of a data set.

    Attributes:
        after: what happened before it was taken by an earlier night; None on the first.
        until: end of the night; what happens at or after it is not known yet.
    """

    after: datetime | None
    until: datetime

    def holds(self, moment: Column) -> Column:
        """Return whether a moment is in the window."""
        new = F.lit(True) if self.after is None else moment >= F.lit(self.after)
        return new & self.known(moment)

    def known(self, moment: Column) -> Column:
        """Return whether a moment lies before the night's end, whoever took it."""
        return moment < F.lit(self.until)
