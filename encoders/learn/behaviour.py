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

import fsspec
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from encoders.learn.history import History

Factors = NDArray[np.float32]
_NUMBERS, _SPU_IDS = "behaviour.numbers", "behaviour.spu_ids"
# Directions below this share of the largest are rounding of float32: unit norm would blow it up.
_LEAST_SCALE = 1e-6


@dataclass(frozen=True)
class Behaviour:
    """What behaviour says of SPUs, as an encoder version holds it.

    Attributes:
        spu_ids: those that somebody met [M].
        numbers: ``behaviour`` of each [M, 2 F + 1].
    """

    spu_ids: Sequence[str]
    numbers: Factors

    @classmethod
    def of_met(cls, spu_ids: Sequence[str], numbers: Factors) -> "Behaviour":
        """Return the behaviour of those SPUs that somebody met."""
        met = np.flatnonzero(numbers.any(axis=1))
        return cls([spu_ids[row] for row in met.tolist()], numbers[met])

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "Behaviour | None":
        """Return what ``arrays`` gave, from among others; None where it is not there."""
        if _NUMBERS not in arrays:
            return None
        ids = [row.tobytes().rstrip(b"\0").decode() for row in arrays[_SPU_IDS]]
        return cls(ids, arrays[_NUMBERS].astype(np.float32))

    @property
    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Itself as arrays, ids in UTF-8 and padded with zeros."""
        texts = np.array([spu_id.encode() for spu_id in self.spu_ids], np.bytes_)
        width = max(texts.dtype.itemsize, 1)
        ids = np.zeros((len(texts), width), np.uint8)
        if len(texts):
            ids[:] = np.frombuffer(texts.tobytes(), np.uint8).reshape(len(texts), width)
        return {_NUMBERS: self.numbers, _SPU_IDS: ids}

    def of(self, spu_ids: Sequence[str]) -> Factors:
        """Return the behaviour of SPUs, zeros of those that nobody met [N, 2 F + 1]."""
        row_of = {spu_id: row for row, spu_id in enumerate(self.spu_ids)}
        rows = np.array([row_of.get(spu_id, -1) for spu_id in spu_ids], np.int64)
        found = np.zeros((len(spu_ids), self.numbers.shape[1]), np.float32)
        found[rows >= 0] = self.numbers[rows[rows >= 0]]
        return found


def is_behaviour(name: str) -> bool:
    """Return whether a tensor of an encoder version is behaviour, and no weight."""
    return name in (_NUMBERS, _SPU_IDS)


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
    histories: Sequence[History], transitions_NN: sp.csr_array, *, factors: int, seed: int = 0
) -> Factors:
    """Return what behaviour says of each item: query factors, key factors, log of its events.

    Args:
        transitions_NN: ``transitions`` of the same histories.
        factors: F; a small catalogue has fewer, and zeros in place of the others.

    Returns:
        float32 [N, 2 F + 1]. The factors of a side have unit norm; those of an item without a
        transition on that side are zeros.
    """
    n_items = transitions_NN.shape[0]
    events_N = np.bincount(
        np.concatenate([np.empty(0, np.int64), *(history.items for history in histories)]),
        minlength=n_items,
    )
    query, key = np.zeros((2, n_items, factors), np.float32)
    width = min(factors, n_items - 1)
    if transitions_NN.nnz and width > 0:
        from sklearn.utils.extmath import randomized_svd

        left, scale, right = randomized_svd(transitions_NN, width, random_state=seed)
        root = np.sqrt(np.where(scale > _LEAST_SCALE * scale.max(), scale, 0))
        # So is what the decomposition leaves in the row of an item that leads nowhere.
        leads_N1, is_led_to_N1 = (transitions_NN.sum(axis=side)[:, None] > 0 for side in (1, 0))
        query[:, :width] = _unit(left * root * leads_N1)
        key[:, :width] = _unit(right.T * root * is_led_to_N1)
    return np.column_stack([query, key, np.log1p(events_N).astype(np.float32)])


def _unit(vectors_NF: NDArray[np.floating]) -> Factors:
    norms = np.linalg.norm(vectors_NF, axis=1, keepdims=True)
    nothing = np.zeros(vectors_NF.shape, np.float32)
    unit_NF: Factors = np.divide(vectors_NF, norms, out=nothing, where=norms > 1e-6)
    return unit_NF
