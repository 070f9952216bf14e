"""Blocking: candidate pairs that share a rare key, instead of all n^2 pairs.

Keys are a word, a model code, a brand with a number, two neighbouring words, two numbers or
measures, five neighbouring characters. Keys of more than ``max_block_size`` items are dropped: they
do not tell products apart, and their pairs grow with the square of the size. Each item then keeps
the candidates with which it shares the most.

Scale: a sparse product in chunks, 35,000 items in about 20 seconds. In Spark it would be a
self-join on the key and a window per item.
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
    """Return an item's blocking keys; the first letter of a key is its kind."""
    words = item.words
    numbers = sorted(item.numbers | item.measures)[:8]
    text = "".join(words)
    return {
        *(f"w{word}" for word in words),
        *(f"c{code}" for code in item.aliases),
        *(f"n{left} {right}" for left, right in pairwise(words)),
        *(f"b{item.brand} {part}" for part in numbers if item.brand),
        *(f"t{left} {right}" for left, right in combinations(numbers, 2)),
        *(f"s{code[:end]}" for code in item.codes for end in range(5, len(code) + 1)),
        *(f"g{text[start : start + 5]}" for start in range(len(text) - 4)),
    }


def candidate_pairs(
    items: Catalogue,
    max_block_size: int,
    *,
    per_item: int = CANDIDATES_PER_ITEM,
    query_rows: Ints | None = None,
) -> tuple[Ints, Ints]:
    """Pair items that share a blocking key; two items of one exclusive source are never paired.

    Args:
        max_block_size: most items a key may hold.
        per_item: most candidates of an item; it may be a candidate of any number of others.
        query_rows: rows to find candidates for, among all rows; None is all rows.

    Returns:
        row_l [M], row_r [M]: each unordered pair once, smaller row left, in ascending order.
    """
    rows = np.arange(len(items.records)) if query_rows is None else query_rows
    present, vocabulary = incidence(_needed_keys(items.records, rows))
    counts = frequencies(present)
    useful = (counts > 1) & (counts <= max_block_size)
    # Each character is in five of the character keys.
    kind = np.array([0.2 if key[0] == "g" else 1.0 for key in vocabulary])
    keys = sparse.csr_matrix(
        present[:, useful] @ sparse.diags(np.sqrt(idf(present) * kind)[useful])
    )
    found = _nearest(keys, items, rows, per_item)
    pairs = [_numbered(row_l, row_r, len(items.records)) for row_l, row_r in found]
    numbers = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *pairs]))
    return numbers // len(items.records), numbers % len(items.records)


def _needed_keys(records: Sequence[Record], query_rows: Ints) -> list[set[str]]:
    """Return each record's blocking keys that some query row has."""
    keys = [blocking_keys(record) for record in records]
    if len(query_rows) == len(records):
        return keys
    needed = set().union(*(keys[row] for row in query_rows))
    return [record_keys & needed for record_keys in keys]


def _nearest(
    keys: sparse.csr_matrix, items: Catalogue, rows: Ints, per_item: int
) -> Iterator[tuple[Ints, Ints]]:
    transposed = sparse.csr_matrix(keys.T)
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        shared = sparse.coo_matrix(keys[chunk] @ transposed)
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
