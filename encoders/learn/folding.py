"""Folding in: behaviour from events after a training, over the directions that the training found.

The factors of an item are linear in its transitions until they get unit norm: its query is the sum
of a vector of each item that it leads to, weighted by the counts (as users are folded into latent
semantic indexing, Deerwester et al., JASIS 1990). So later counts are added to what the training
saw, and neither the towers nor the space of the vectors change. An item that the training never saw
gets factors from those around it that it did see.

Sums are whole numbers, so they do not depend on the order in which events are added.

Imports no torch: stages fold without it.

Shapes: N items, F factors of a side, T events of a user, M moments, E events that are folded in.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.learn.history import Rows
from encoders.learn.transitions import BACKWARD, LARGEST_GAP, occurrence

# Sums are held in these parts of one: the rounding is far below that of float32.
_UNIT = 1.0 / (1 << 32)
# Directions below this share of the largest are rounding, and dividing by them blows it up.
_LEAST_SINGULAR = 1e-6
# Columns of ``Basis.scales_N4``.
_QUERY_LENGTH, _KEY_LENGTH, _ROW, _COLUMN = range(4)

Sums = NDArray[np.int64]


@dataclass(frozen=True)
class Basis:
    """What later events are folded in with, beside the factors of the training.

    Attributes:
        singular_F: singular values of the transitions; 0 of a factor that there is not.
        scales_N4: of each item, what its query and its key factors were divided by to get unit
            norm, and what its counts were multiplied by, as the row's and as the column's item.
    """

    singular_F: NDArray[np.float32]
    scales_N4: NDArray[np.float32]

    def of(self, rows: Rows) -> "Basis":
        """Return the basis of some items alone."""
        return Basis(self.singular_F, self.scales_N4[rows])


def directions(numbers: NDArray[np.float32], basis: Basis) -> NDArray[np.float64]:
    """Return what an event adds to the sums of the items around it [N, 2 F].

    Args:
        numbers: ``behaviour`` of the training [N, 2 F + 1].

    Returns:
        what is added to the query of an item that leads to this one, and to the key of an item that
        this one leads to.
    """
    factors, scales_N4 = len(basis.singular_F), basis.scales_N4.astype(np.float64)
    query_NF, key_NF = numbers[:, :factors], numbers[:, factors : 2 * factors]
    singular_F = basis.singular_F.astype(np.float64)
    is_there = singular_F > _LEAST_SINGULAR * singular_F.max(initial=0)
    inverse_F = np.divide(1, singular_F, out=np.zeros_like(singular_F), where=is_there)
    to_query = key_NF * inverse_F * (scales_N4[:, _KEY_LENGTH] * scales_N4[:, _COLUMN])[:, None]
    to_key = query_NF * inverse_F * (scales_N4[:, _QUERY_LENGTH] * scales_N4[:, _ROW])[:, None]
    return np.hstack([to_query, to_key])


def added_sums(
    items_T: Rows, times_T: Rows, until_T: Rows, directions_N2F: NDArray[np.float64], *, since: int
) -> tuple[Rows, Sums]:
    """Return what the events of one user add to the sums of the items that they are about.

    A pair of events counts where the later of both is not before ``since``, up to ``until_T`` of
    the item that it is counted for; as ``transitions`` counts it.

    Args:
        items_T: rows of ``directions_N2F``; an item without a direction has a row of zeros.
        times_T: in any unit.
        until_T: of each, the time up to which its item is folded; the same for all of an item, and
            before ``since`` for one that is not folded.

    Returns:
        place among the T of each event that is folded [E], and the whole numbers that it adds
        [E, 2 F].
    """
    # An item counts once in a moment.
    firsts = np.unique(np.stack([times_T, items_T]), axis=1, return_index=True)[1]
    times_M, starts_M, moment_T, sizes_M = np.unique(
        times_T[firsts], return_index=True, return_inverse=True, return_counts=True
    )
    added_T2F = directions_N2F[items_T[firsts]]
    weights_T = 1 / occurrence(items_T[firsts])
    totals_M2F = np.add.reduceat(added_T2F * weights_T[:, None], starts_M, axis=0)
    moments = _Moments(times_M, sizes_M, totals_M2F)
    lines = _Lines(moment_T, items_T[firsts], weights_T)
    places = np.flatnonzero(until_T[firsts] >= since)
    window = _Window(
        moments, lines, lines.at(places), added_T2F[places], until_T[firsts][places], since
    )
    sums_E2F = window.together()
    for gap in range(1, LARGEST_GAP + 1):
        sums_E2F += window.later(gap) + window.earlier(gap)
    return firsts[places], np.rint(sums_E2F / _UNIT).astype(np.int64)


@dataclass(frozen=True)
class _Moments:
    """Moments of a user: time, number of items, and the sum of what these add."""

    times_M: Rows
    sizes_M: Rows
    totals_M2F: NDArray[np.float64]


@dataclass(frozen=True)
class _Lines:
    """Items of moments, in the order of moments and items: moment, item, and weight of each."""

    moments: Rows
    items: Rows
    weights: NDArray[np.float64]

    def at(self, places: Rows) -> "_Lines":
        return _Lines(self.moments[places], self.items[places], self.weights[places])

    def weights_of(self, moments: Rows, items: Rows) -> NDArray[np.float64]:
        """Return the weights of items in moments; NaN of one that is not there."""
        width = int(self.items.max()) + 1
        keys, wanted = self.moments * width + self.items, moments * width + items
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[places] == wanted, self.weights[places], np.nan)


@dataclass(frozen=True)
class _Window:
    """The moments around the lines of a user that are folded in.

    Attributes:
        lines: all of the user.
        folded: those that are folded in.
        own_E2F: what each of those adds by itself.
    """

    moments: _Moments
    lines: _Lines
    folded: _Lines
    own_E2F: NDArray[np.float64]
    until_E: Rows
    since: int

    def together(self) -> NDArray[np.float64]:
        """Return what the other items of the same moment add [E, 2 F]."""
        own, sizes_E = self.folded, self.moments.sizes_M[self.folded.moments]
        others = self.moments.totals_M2F[own.moments] - self.own_E2F * own.weights[:, None]
        return others * (own.weights * self._counts(own.moments) / sizes_E)[:, None]

    def later(self, gap: int) -> NDArray[np.float64]:
        """Return what the items of the moment ``gap`` moments later add [E, 2 F]."""
        moments = np.minimum(self.folded.moments + gap, len(self.moments.times_M) - 1)
        is_there = self.folded.moments + gap < len(self.moments.times_M)
        scale_E = is_there * self._counts(moments) / (gap * self.moments.sizes_M[moments])
        return self._sided(moments, scale_E, query=1.0, key=BACKWARD)

    def earlier(self, gap: int) -> NDArray[np.float64]:
        """Return what the items of the moment ``gap`` moments earlier add [E, 2 F]."""
        moments = np.maximum(self.folded.moments - gap, 0)
        own = self.folded.moments
        scale_E = (own >= gap) * self._counts(own) / (gap * self.moments.sizes_M[own])
        return self._sided(moments, scale_E, query=BACKWARD, key=1.0)

    def _counts(self, later_E: Rows) -> NDArray[np.float64]:
        times_E = self.moments.times_M[later_E]
        return ((times_E >= self.since) & (times_E <= self.until_E)).astype(np.float64)

    def _sided(
        self, moments: Rows, scale_E: NDArray[np.float64], *, query: float, key: float
    ) -> NDArray[np.float64]:
        own = self.folded.weights
        # The item itself, met at both moments, counts in full.
        again_E = np.nan_to_num(1 - own * self.lines.weights_of(moments, self.folded.items))
        added_E2F = self.moments.totals_M2F[moments] * own[:, None]
        added_E2F += self.own_E2F * again_E[:, None]
        sides_2F = np.repeat([query, key], added_E2F.shape[1] // 2)
        scaled_E2F: NDArray[np.float64] = added_E2F * scale_E[:, None] * sides_2F
        return scaled_E2F


def folded(
    numbers: NDArray[np.float32], basis: Basis, sums: Sums, added_N: Rows
) -> NDArray[np.float32]:
    """Return the behaviour of items with later events in it [N, 2 F + 1].

    Args:
        numbers: ``behaviour`` of the training; zeros of an item that it did not see.
        basis: of these items; zeros as well.
        sums: of ``added_sums``, over all users [N, 2 F].
        added_N: events of each item since the training.
    """
    factors, scales_N4 = len(basis.singular_F), basis.scales_N4.astype(np.float64)
    lengths = scales_N4[:, [_QUERY_LENGTH, _KEY_LENGTH]]
    shrunk = scales_N4[:, [_ROW, _COLUMN]]
    trained_N2 = np.divide(lengths, shrunk, out=np.zeros_like(lengths), where=shrunk > 0)
    sides = (
        at_unit_norm(
            numbers[:, side * factors : (side + 1) * factors] * trained_N2[:, [side]]
            + sums[:, side * factors : (side + 1) * factors] * _UNIT
        )
        for side in (0, 1)
    )
    events_N = np.expm1(numbers[:, -1].astype(np.float64)) + added_N
    return np.column_stack([*sides, np.log1p(events_N)]).astype(np.float32)


def with_later_events(
    numbers: NDArray[np.float32], basis: Basis, users: Iterable[tuple[Rows, Rows]], *, since: int
) -> NDArray[np.float32]:
    """Return the behaviour of items with all that users met since a moment in it [N, 2 F + 1].

    Args:
        numbers: ``behaviour`` of the training, which knew the events before ``since``.
        basis: of the same items.
        users: items of each user, oldest first, and their times.
    """
    towards = directions(numbers, basis)
    sums, added_N = np.zeros(towards.shape, np.int64), np.zeros(len(towards), np.int64)
    for items_T, times_T in users:
        later_E = items_T[times_T >= since]
        if len(later_E):
            until_T = np.full(len(items_T), times_T[-1])
            places, added = added_sums(items_T, times_T, until_T, towards, since=since)
            np.add.at(sums, items_T[places], added)
            np.add.at(added_N, later_E, 1)
    return folded(numbers, basis, sums, added_N)


def at_unit_norm(vectors_NF: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return vectors at unit norm; zeros stay zeros."""
    norms = np.linalg.norm(vectors_NF, axis=1, keepdims=True)
    nothing = np.zeros(vectors_NF.shape, np.float32)
    unit_NF: NDArray[np.float32] = np.divide(
        vectors_NF, norms, out=nothing, where=norms > 1e-6, casting="same_kind"
    )
    return unit_NF
