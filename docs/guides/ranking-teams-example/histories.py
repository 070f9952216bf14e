"""What each user bought before a moment."""

import numpy as np
from purchases import Purchases, Rows


class Histories:
    """Purchases by user, oldest first."""

    def __init__(self, purchases: Purchases) -> None:
        order = np.lexsort((purchases.item, purchases.minute, purchases.user))
        self._item, self._minute = purchases.item[order], purchases.minute[order]
        users = np.arange(len(purchases.user_ids) + 1)
        self._starts = np.searchsorted(purchases.user[order], users)

    def before(self, user: int, minute: int) -> Rows:
        """Return the products that a user bought strictly before a minute, repeats included."""
        start, end = self._starts[user], self._starts[user + 1]
        size = np.searchsorted(self._minute[start:end], minute)
        return self._item[start : start + size]
