"""Blocking: which pairs of items are worth comparing, out of n^2 possible ones?

Items that share a rare key are a pair: a word, a model code, a brand with a number, two
neighbouring words, two telling parts, five neighbouring characters. Keys that more than
``max_block_size`` items have say nothing, and their pairs grow with the square of them. Each item
then keeps the candidates with which it shares the most.

Scale: keys and weights are one row each, so in Spark this is a self-join on the key and a window
per item; here it is a sparse product in chunks, 35,000 items in about 20 seconds.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from spark_jobs.spu.standardization import Record
from spark_jobs.spu.token_matrices import Catalogue, Ints, frequencies, idf, incidence

CANDIDATES_PER_ITEM = 40
_CHUNK = 1000


def blocking_keys(item: Record) -> set[str]:
    """Return the keys under which an item is looked for; the first letter tells their kind."""
    words = item.words
    telling = sorted(item.numbers | item.measures)[:8]
    text = "".join(words)
    return {
        *(f"w{word}" for word in words),
        *(f"c{code}" for code in item.aliases),
        *(f"n{left} {right}" for left, right in pairwise(words)),
        *(f"b{item.brand} {part}" for part in telling if item.brand),
        *(f"t{left} {right}" for left, right in combinations(telling, 2)),
        *(f"s{code[:end]}" for code in item.codes for end in range(5, len(code) + 1)),
        *(f"g{text[start : start + 5]}" for start in range(len(text) - 4)),
    }


def candidate_pairs(
    items: Catalogue,
    max_block_size: int,
    *,
    per_item: int = CANDIDATES_PER_ITEM,
    asking: Ints | None = None,
) -> tuple[Ints, Ints]:
    """Pair items that share a blocking key; two items of one exclusive source are no pair.

    Args:
        max_block_size: most items a key may hold.
        per_item: most candidates an item asks for; others may still ask for it.
        asking: rows that look for candidates, among all rows; None is all of them.

    Returns:
        row_l [M], row_r [M]: each unordered pair once, smaller row left, in ascending order.
    """
    rows = np.arange(len(items.records)) if asking is None else asking
    present, vocabulary = incidence(_keys_asked_for(items.records, rows))
    counts = frequencies(present)
    useful = (counts > 1) & (counts <= max_block_size)
    # Character keys overlap each other five times over.
    kind = np.array([0.2 if key[0] == "g" else 1.0 for key in vocabulary])
    keys = sparse.csr_matrix(
        present[:, useful] @ sparse.diags(np.sqrt(idf(present) * kind)[useful])
    )
    found = _nearest(keys, items, rows, per_item)
    pairs = [_numbered(*of, len(items.records)) for of in found]
    numbers = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *pairs]))
    return numbers // len(items.records), numbers % len(items.records)


def _keys_asked_for(records: Sequence[Record], asking: Ints) -> list[set[str]]:
    """Return each record's blocking keys; where few ask, only those that somebody asks for."""
    keys = [blocking_keys(record) for record in records]
    if len(asking) == len(records):
        return keys
    asked = set().union(*(keys[row] for row in asking))
    return [of_record & asked for of_record in keys]


def _nearest(
    keys: sparse.csr_matrix, items: Catalogue, rows: Ints, per_item: int
) -> Iterator[tuple[Ints, Ints]]:
    other_way = sparse.csr_matrix(keys.T)
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        shared = sparse.coo_matrix(keys[chunk] @ other_way)
        row, column = chunk[shared.row], shared.col.astype(np.int64)
        allowed = (row != column) & ~forbidden(items, row, column)
        yield _strongest(row[allowed], column[allowed], shared.data[allowed], per_item)


def _strongest(
    row: Ints, column: Ints, weight: NDArray[np.float64], per_item: int
) -> tuple[Ints, Ints]:
    order = np.lexsort((column, -np.round(weight, 9), row))
    row, column = row[order], column[order]
    first = np.searchsorted(row, row, side="left")
    kept = np.arange(len(row)) - first < per_item
    return row[kept], column[kept]


def forbidden(items: Catalogue, row_l: Ints, row_r: Ints) -> NDArray[np.bool_]:
    """Return [M] True where both items are of one source that lists a product at most once."""
    same = items.source[row_l] == items.source[row_r]
    return np.asarray(same & items.exclusive[row_l])


def _numbered(row_l: Ints, row_r: Ints, n: int) -> Ints:
    return np.minimum(row_l, row_r) * n + np.maximum(row_l, row_r)


def with_pairs(pairs: tuple[Ints, Ints], more: Sequence[Ints], n: int) -> tuple[Ints, Ints]:
    """Return the union of two sets of pairs of ``n`` items, in ascending order."""
    numbers = np.union1d(_numbered(*pairs, n), _numbered(more[0], more[1], n))
    return numbers // n, numbers % n
