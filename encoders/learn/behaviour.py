"""Behaviour: what users met around each item, as closed-form factors, and how often they met it.

Two items whose transitions are alike have like factors: the query factors say where an item leads,
the key factors what leads to it. They are the leading directions of the transitions, by truncated
singular value decomposition (as in PureSVD, Cremonesi et al., RecSys 2010). Items without an event
have zeros, and are told apart by content alone.

Imports no torch: stages read the behaviour of an encoder version without it.

Shapes: N items, F factors of each side, M items with events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import fsspec
import numpy as np
from numpy.typing import NDArray

from encoders.learn.folding import Basis, at_unit_norm, with_later_events
from encoders.learn.history import History, Rows, events_of
from encoders.learn.transitions import Transitions

Factors = NDArray[np.float32]
_NUMBERS, _SPU_IDS, _SCALES, _SINGULAR, _UNTIL = (
    f"behaviour.{name}" for name in ("numbers", "spu_ids", "scales", "singular", "until")
)
# Directions below this share of the largest are rounding of float32: unit norm would blow it up.
_LEAST_SCALE = 1e-6


@dataclass(frozen=True)
class Behaviour:
    """What behaviour says of SPUs, as an encoder version holds it.

    Attributes:
        spu_ids: those that somebody met [M].
        numbers: ``behaviour`` of each [M, 2 F + 1].
        basis: of each, to fold later events in; versions from before December 2026 have none.
        until: the moment up to which training knew events, in microseconds since 1970.
    """

    spu_ids: Sequence[str]
    numbers: Factors
    basis: Basis | None = None
    until: int = 0

    @classmethod
    def of_met(
        cls, spu_ids: Sequence[str], numbers: Factors, basis: Basis | None = None, until: int = 0
    ) -> "Behaviour":
        """Return the behaviour of those SPUs that somebody met."""
        met = np.flatnonzero(numbers.any(axis=1))
        of_met = None if basis is None else basis.of(met)
        return cls([spu_ids[row] for row in met.tolist()], numbers[met], of_met, until)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "Behaviour | None":
        """Return what ``arrays`` gave, from among others; None where it is not there."""
        if _NUMBERS not in arrays:
            return None
        ids = [row.tobytes().rstrip(b"\0").decode() for row in arrays[_SPU_IDS]]
        numbers = arrays[_NUMBERS].astype(np.float32)
        if _SCALES not in arrays:
            return cls(ids, numbers)
        singular_F, scales_N4 = (arrays[name].astype(np.float32) for name in (_SINGULAR, _SCALES))
        return cls(ids, numbers, Basis(singular_F, scales_N4), int(arrays[_UNTIL][0]))

    @property
    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Itself as arrays, ids in UTF-8 and padded with zeros."""
        texts = np.array([spu_id.encode() for spu_id in self.spu_ids], np.bytes_)
        width = max(texts.dtype.itemsize, 1)
        ids = np.zeros((len(texts), width), np.uint8)
        if len(texts):
            ids[:] = np.frombuffer(texts.tobytes(), np.uint8).reshape(len(texts), width)
        arrays: dict[str, NDArray[np.generic]] = {_NUMBERS: self.numbers, _SPU_IDS: ids}
        if self.basis is not None:
            arrays |= {_SCALES: self.basis.scales_N4, _SINGULAR: self.basis.singular_F}
            arrays[_UNTIL] = np.array([self.until], np.int64)
        return arrays

    def of(self, spu_ids: Sequence[str]) -> Factors:
        """Return the behaviour of SPUs, zeros of those that nobody met [N, 2 F + 1]."""
        return self._rows_of(self.numbers, spu_ids)

    def later_of(self, spu_ids: Sequence[str], users: Sequence[tuple[Rows, Rows]]) -> Factors:
        """Return ``of``, with what users met since the training folded in.

        A version without a basis cannot fold: its behaviour stays as old as its training.

        Args:
            users: rows of ``spu_ids`` that each user met, oldest first, and when, in microseconds
                since 1970.
        """
        numbers = self.of(spu_ids)
        if self.basis is None:
            return numbers
        return with_later_events(numbers, self.basis_of(spu_ids), users, since=self.until)

    def basis_of(self, spu_ids: Sequence[str]) -> Basis:
        """Return the basis of SPUs, with scales of zero for those that nobody met.

        Raises:
            LookupError: the version has no basis.
        """
        if self.basis is None:
            raise LookupError("this behaviour has no basis to fold later events in with.")
        return Basis(self.basis.singular_F, self._rows_of(self.basis.scales_N4, spu_ids))

    @cached_property
    def _row_of(self) -> Mapping[str, int]:
        return {spu_id: row for row, spu_id in enumerate(self.spu_ids)}

    def _rows_of(self, values: Factors, spu_ids: Sequence[str]) -> Factors:
        rows = np.array([self._row_of.get(spu_id, -1) for spu_id in spu_ids], np.int64)
        found = np.zeros((len(spu_ids), values.shape[1]), np.float32)
        found[rows >= 0] = values[rows[rows >= 0]]
        return found


def is_behaviour(name: str) -> bool:
    """Return whether a tensor of an encoder version is behaviour, and no weight."""
    return name in (_NUMBERS, _SPU_IDS, _SCALES, _SINGULAR, _UNTIL)


def read_behaviour(folder: str) -> Behaviour | None:
    """Return the behaviour that an encoder version was trained with; None of one that has none.

    Args:
        folder: of the version, on any fsspec location.
    """
    from safetensors.numpy import load

    with fsspec.open(f"{folder.rstrip('/')}/model.safetensors") as file:
        return Behaviour.from_arrays(load(file.read()))


def behaviour_width(factors: int) -> int:
    """Return how many numbers ``behaviour`` has of an item."""
    return 2 * factors + 1


def behaviour(
    histories: Sequence[History], transitions: Transitions, *, factors: int, seed: int = 0
) -> tuple[Factors, Basis]:
    """Return what behaviour says of each item: query factors, key factors, log of its events.

    Args:
        transitions: of the same histories.
        factors: F; a small catalogue has fewer, and zeros in place of the others.

    Returns:
        float32 [N, 2 F + 1], of which the factors of a side have unit norm, and those of an item
        without a transition on that side are zeros; and the basis to fold later events in with.
    """
    strengths_NN = transitions.strengths_NN
    n_items = strengths_NN.shape[0]
    events_N = events_of(histories, n_items)
    query, key = np.zeros((2, n_items, factors), np.float32)
    singular_F = np.zeros(factors, np.float32)
    width = min(factors, n_items - 1)
    if strengths_NN.nnz and width > 0:
        from sklearn.utils.extmath import randomized_svd

        left, scale, right = randomized_svd(strengths_NN, width, random_state=seed)
        scale = np.where(scale > _LEAST_SCALE * scale.max(), scale, 0)
        singular_F[:width], root = scale, np.sqrt(scale)
        # So is what the decomposition leaves in the row of an item that leads nowhere.
        leads_N1, is_led_to_N1 = (strengths_NN.sum(axis=side)[:, None] > 0 for side in (1, 0))
        query[:, :width] = left * root * leads_N1
        key[:, :width] = right.T * root * is_led_to_N1
    lengths = [np.linalg.norm(side, axis=1) for side in (query, key)]
    scales_N4 = np.column_stack([*lengths, transitions.row_N, transitions.column_N])
    numbers = np.column_stack([at_unit_norm(query), at_unit_norm(key), np.log1p(events_N)])
    return numbers.astype(np.float32), Basis(singular_F, scales_N4.astype(np.float32))
