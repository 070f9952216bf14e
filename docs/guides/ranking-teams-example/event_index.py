"""How often and when something happened before a moment, and what: features without leakage.

Shapes: E events, Q questions.
"""

import numpy as np
from numpy.typing import NDArray
from purchases import Purchases, Rows

from encoders.learn.history import History

# Minutes since 1970 fit into 32 bits for the next six thousand years.
_MINUTES = 1 << 32


class EventIndex:
    """Events by key and minute.

    Every answer is of events strictly before the minute of the question: what happens at the same
    minute, such as the basket that is to be predicted, is not known.
    """

    def __init__(
        self, keys: Rows, minutes: Rows, values: NDArray[np.float64] | None = None
    ) -> None:
        """Take events in any order.

        Args:
            keys: what each event is counted under, 0 or more [E].
            minutes: since 1970 [E].
            values: of each event, for ``mean_before`` and ``last_value_before`` [E].
        """
        coded = keys * _MINUTES + minutes
        order = np.argsort(coded, kind="stable")
        self._coded, self._minutes = coded[order], minutes[order]
        self._values = np.zeros(len(keys)) if values is None else values[order]
        self._sums = np.concatenate([[0.0], np.cumsum(self._values)])

    def before(self, keys: Rows, minutes: Rows) -> Rows:
        """Return how many events of its key lie before each minute [Q]."""
        return self._ends(keys, minutes) - self._starts(keys)

    def within(self, keys: Rows, minutes: Rows, span: int) -> Rows:
        """Return how many events lie in the last ``span`` minutes before each minute [Q]."""
        return self.before(keys, minutes) - self.before(keys, minutes - span)

    def minutes_since_last(self, keys: Rows, minutes: Rows) -> NDArray[np.float64]:
        """Return the minutes since the last event before each minute; nan without one [Q]."""
        return minutes - self._at(self._minutes, keys, minutes, self._ends(keys, minutes) - 1)

    def minutes_since_first(self, keys: Rows, minutes: Rows) -> NDArray[np.float64]:
        """Return the minutes since the first event before each minute; nan without one [Q]."""
        return minutes - self._at(self._minutes, keys, minutes, self._starts(keys))

    def last_value_before(self, keys: Rows, minutes: Rows) -> NDArray[np.float64]:
        """Return the value of the last event before each minute; nan without one [Q]."""
        return self._at(self._values, keys, minutes, self._ends(keys, minutes) - 1)

    def mean_before(self, keys: Rows, minutes: Rows) -> NDArray[np.float64]:
        """Return the mean value of the events before each minute; nan without one [Q]."""
        sums = self._sums[self._ends(keys, minutes)] - self._sums[self._starts(keys)]
        counts = self.before(keys, minutes)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    def _starts(self, keys: Rows) -> Rows:
        return np.searchsorted(self._coded, keys * _MINUTES)

    def _ends(self, keys: Rows, minutes: Rows) -> Rows:
        return np.searchsorted(self._coded, keys * _MINUTES + minutes)

    def _at(
        self, column: NDArray[np.generic], keys: Rows, minutes: Rows, places: Rows
    ) -> NDArray[np.float64]:
        found = np.full(len(keys), np.nan)
        known = self.before(keys, minutes) > 0
        found[known] = column[places[known]]
        return found


class Histories:
    """Purchases by user, oldest first."""

    def __init__(self, purchases: Purchases) -> None:
        order = np.lexsort((purchases.item, purchases.minute, purchases.user))
        self._item, self._minute = purchases.item[order], purchases.minute[order]
        users = np.arange(len(purchases.user_ids) + 1)
        self._starts = np.searchsorted(purchases.user[order], users)

    def before(self, user: int, minute: int) -> History:
        """Return what a user bought strictly before a minute, repeats included."""
        start, end = self._starts[user], self._starts[user + 1]
        bought = slice(start, start + np.searchsorted(self._minute[start:end], minute))
        return History.at(self._item[bought], self._minute[bought])
