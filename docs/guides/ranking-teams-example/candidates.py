"""Requests, and the candidates that a ranker orders for each.

A request is a user's basket at a moment. Its positives are products bought then. Its negatives are
products on sale that were not: drawn by their sales of the last 30 days, evenly, and from what the
user has bought before. A ranker that only knows what sells, or only what repeats, tells the first
and the last kind apart badly. On sale is what was sold, or was new, in the last 60 days: anything
tells what a shop has given up from what it has not.

Shapes: R requests; C candidates of all requests.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from event_index import EventIndex, Histories
from numpy.typing import NDArray
from purchases import MINUTES_A_DAY, Purchases, Rows

POPULAR_DAYS, ON_SALE_DAYS = 30, 60
_SPANS = (POPULAR_DAYS, ON_SALE_DAYS)


@dataclass(frozen=True)
class Draws:
    """How many candidates a request gets, at most."""

    positives: int = 20
    popular: int = 6
    even: int = 6
    own: int = 3


@dataclass(frozen=True)
class Candidates:
    """Rows to be ranked, by request.

    Attributes:
        request: number of the request of each [C].
        user, item, minute: whose, which and when [C].
        bought: the label [C].
    """

    request: Rows
    user: Rows
    item: Rows
    minute: Rows
    bought: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.request)

    @property
    def requests(self) -> list[slice]:
        """The rows of each request."""
        starts = np.flatnonzero(np.r_[True, np.diff(self.request) != 0, True])
        return [slice(start, end) for start, end in pairwise(starts.tolist())]

    def rows(self, kept: NDArray[np.bool_] | Rows) -> "Candidates":
        """Return some of the rows."""
        return Candidates(
            self.request[kept],
            self.user[kept],
            self.item[kept],
            self.minute[kept],
            self.bought[kept],
        )


def sampled_candidates(
    purchases: Purchases,
    nights: Rows,
    *,
    draws: Draws | None = None,
    seed: int,
) -> Candidates:
    """Return the candidates of every basket between the first night's end and the last one's.

    Args:
        nights: ends of nights, minutes since 1970, in order. The catalogue of a request is what the
            night before it knew: a product that came up since is no candidate.
        draws: without it, ``Draws()``.
    """
    draws = draws or Draws()
    rng = np.random.default_rng(seed)
    catalogue = _Catalogue(purchases)
    parts = []
    for number, (user, minute, basket) in enumerate(_baskets(purchases, nights)):
        night = nights[np.searchsorted(nights, minute, side="right") - 1]
        chosen = catalogue.candidates(user, minute, basket, night=night, draws=draws, rng=rng)
        if chosen is not None:
            items, n_bought = chosen
            whose = (np.full(len(items), each) for each in (number, user))
            bought = np.arange(len(items)) < n_bought
            parts.append((*whose, items, np.full(len(items), minute), bought))
    return Candidates(*(np.concatenate(column) for column in zip(*parts, strict=True)))


class _Catalogue:
    """What there was to be offered at a moment."""

    def __init__(self, purchases: Purchases) -> None:
        self._sales = EventIndex(purchases.item, purchases.minute)
        self._known_from = purchases.known_from
        self._histories = Histories(purchases)
        self._nights: dict[int, tuple[NDArray[np.bool_], NDArray[np.float64]]] = {}

    def candidates(
        self,
        user: int,
        minute: int,
        basket: Rows,
        *,
        night: int,
        draws: Draws,
        rng: np.random.Generator,
    ) -> tuple[Rows, int] | None:
        """Return the candidates, positives first, and how many these are; None without one."""
        on_sale, sold = self._as_of(night)
        positives = rng.permutation(basket[on_sale[basket]])[: draws.positives]
        if not len(positives):
            return None
        own = np.setdiff1d(self._histories.before(user, minute).items, basket)
        others = on_sale.copy()
        others[basket] = False
        weights = np.where(others, sold, 0)
        drawn = [
            rng.choice(len(sold), draws.popular, p=weights / weights.sum()),
            rng.choice(np.flatnonzero(others), draws.even),
            rng.permutation(own[on_sale[own]])[: draws.own],
        ]
        return np.concatenate([positives, np.unique(np.concatenate(drawn))]), len(positives)

    def _as_of(self, night: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Return whether each product was on sale, and how often it was sold of late [N]."""
        if night not in self._nights:
            every = np.arange(len(self._known_from))
            ends = np.full(len(every), night)
            days = [self._sales.within(every, ends, n * MINUTES_A_DAY) for n in _SPANS]
            age = night - self._known_from
            is_new = (age > 0) & (age <= ON_SALE_DAYS * MINUTES_A_DAY)
            self._nights[night] = (days[1] > 0) | is_new, days[0].astype(np.float64)
        return self._nights[night]


def _baskets(purchases: Purchases, nights: Rows) -> Iterator[tuple[int, int, Rows]]:
    """Yield user, minute and different products of each basket, oldest first."""
    inside = np.flatnonzero((purchases.minute >= nights[0]) & (purchases.minute < nights[-1]))
    order = inside[np.lexsort((purchases.user[inside], purchases.minute[inside]))]
    keys = np.stack([purchases.minute[order], purchases.user[order]])
    starts = np.flatnonzero(np.any(np.diff(keys, axis=1), axis=0)) + 1
    for rows in np.split(order, starts):
        if len(rows):
            items = np.unique(purchases.item[rows])
            yield int(purchases.user[rows[0]]), int(purchases.minute[rows[0]]), items
