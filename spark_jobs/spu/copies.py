"""Copies: pages of equal content, such as those of one product in hundreds of shops.

More copies than a page may have candidates cannot all be compared with each other, and what they
say is too frequent to be a key or a code. Equal pages need no comparison: one stands in for all.
"""

import json
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spark_jobs.spu.blocking import CANDIDATES_PER_ITEM
from spark_jobs.spu.token_matrices import Ints

_CONTENT = ("title", "text", "brand", "category", "attributes", "gtin", "mpn")
# Copies in the order of their prices are of two products where the price rises by a larger factor.
_PRICE_STEP = 1.25


def stand_ins(pages: pd.DataFrame, spu: Ints, settled: NDArray[np.bool_], exclusive: Ints) -> Ints:
    """Return [N] the row that is compared in place of each row: itself where it has few copies.

    Args:
        pages: N pages in the columns of the resolution.
        spu: [N] number of yesterday's SPU, -1 where it had none.
        settled: [N] True where the page is to stay in that SPU: it stands in for copies of its SPU
            alone. A page that is not settled joins the SPU of most of its settled copies.
        exclusive: [N] number of the page's source where that lists a product at most once, or -1:
            two pages of one such source do not join each other.
    """
    stand_in = np.arange(len(pages))
    for rows in _copied(pages):
        for together in _together(rows, spu, settled, exclusive):
            stand_in[together] = min(together, key=lambda row: (not settled[row], row))
    return stand_in


def _copied(pages: pd.DataFrame) -> Iterator[list[int]]:
    """Yield the rows of each content that more pages have than a page may have candidates."""
    columns = pages.reindex(columns=list(_CONTENT)).itertuples(index=False)
    contents = pd.Series([json.dumps([_plain(value) for value in row]) for row in columns])
    prices = pages["price"].to_numpy(dtype=float)
    for indices in contents.groupby(contents, sort=False).indices.values():
        rows = np.asarray(indices)
        if len(rows) > CANDIDATES_PER_ITEM:
            ordered = rows[np.argsort(prices[rows], kind="stable")]
            with np.errstate(divide="ignore", invalid="ignore"):
                rises = prices[ordered[1:]] / prices[ordered[:-1]] > _PRICE_STEP
            for same in np.split(ordered, np.flatnonzero(rises) + 1):
                if len(same) > CANDIDATES_PER_ITEM:
                    yield sorted(same.tolist())


def _plain(value: object) -> object:
    """Return a text without differences of case and blanks, a map as sorted pairs."""
    if isinstance(value, dict):
        return sorted((name, _plain(part)) for name, part in value.items())
    return " ".join(value.casefold().split()) if isinstance(value, str) else None


def _together(
    rows: list[int], spu: Ints, settled: NDArray[np.bool_], exclusive: Ints
) -> list[list[int]]:
    """Return the sets of copies that belong together; a copy that may join none is left out."""
    held: dict[int, list[int]] = {}
    for row in rows:
        if settled[row]:
            held.setdefault(int(spu[row]), []).append(row)
    largest = max(held, key=lambda number: len(held[number]), default=-1)
    joined = held.setdefault(largest, [])
    sources = set(exclusive[settled & (spu == largest)].tolist())
    # Where none is settled, those that were together yesterday come first.
    usual = largest if largest >= 0 else Counter(spu[rows].tolist()).most_common(1)[0][0]
    for row in sorted((r for r in rows if not settled[r]), key=lambda r: (spu[r] != usual, r)):
        if exclusive[row] < 0 or exclusive[row] not in sources:
            joined.append(row)
            sources.add(int(exclusive[row]))
    return [copies for copies in held.values() if copies]
