"""Semantic ids on two public shops: collisions, alignment of a refit, behaviour in prefixes.

    pytest tests/benchmarks/test_semantic_ids.py -m bench

Seeds are fixed: a second run gives the same figures but for the seconds.
"""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from learn_shops import Shop
from numpy.typing import NDArray
from result_tables import table

from encoders.learn.batches import History
from encoders.semantic_ids.alignment import membership_centroids
from encoders.semantic_ids.assignment import Claims, assigned_codes
from encoders.semantic_ids.codebooks import Codebooks, Codes, Vectors, fit, sufficient_size
from encoders.semantic_ids.measurement import changed_codes, codebook_metrics, prefix_agreement

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

PAGE = ("semantic-ids", "Semantic ids: own triples, alignment, behaviour")

SIZES = (32, 46, 64, 256)
ALIGNED_SIZES = (64, 256)
OTHER_WIDTH = 128


def test_triples_are_unique_aligned_and_near_behaviour(
    shop: Shop, contents_NC: NDArray[np.float32], sections: list[str]
) -> None:
    vectors = contents_NC
    books = {size: fit(vectors, codebook_size=size) for size in SIZES}

    matched = [_matching(vectors, books[size]) for size in SIZES]
    aligned = [row for size in ALIGNED_SIZES for row in _refits(vectors, books[size])]
    behaviour = [_behaviour(shop.before, vectors, books[size]) for size in SIZES]

    size = sufficient_size(len(vectors), min(SIZES))
    pairs = len(_neighbours(shop.before))
    sections.append(
        f"## {shop.name}\n\n{len(vectors):,} items, {vectors.shape[1]} numbers each; with 32 codes "
        f"or more asked for, training takes {size}.\n\n"
        f"### Collisions, before and after matching\n\n{_as_table('codes a level', matched)}\n\n"
        "### Change by a refit: shares of the items that had codes\n\n"
        f"{_as_table('refit', aligned)}\n\n"
        f"### {pairs:,} pairs that a user met one after the other\n\n"
        f"{_as_table('codes a level', behaviour)}\n"
    )
    assert all(row["collide, matched"] == "0.0%" for row in matched)


Row = Mapping[str, str]


def _matching(vectors: Vectors, books: Codebooks) -> Row:
    started = time.monotonic()
    codes, nearest = assigned_codes(vectors, books), books.codes(vectors)
    seconds = time.monotonic() - started
    before, after = (codebook_metrics(c, vectors, books) for c in (nearest, codes))
    left = (codes[:, :2] != nearest[:, :2]).any(axis=1).mean()
    used, entropy = (
        " ".join(f"{after[f'c{level}_{name}']:.2f}" for level in (1, 2, 3))
        for name in ("utilisation", "entropy")
    )
    return {
        "": str(books.size),
        "triples an item": f"{books.size**3 / len(vectors):,.1f}",
        "collide, nearest": f"{before['collision_rate']:.1%}",
        "collide, matched": f"{after['collision_rate']:.1%}",
        "other last code": f"{(codes != nearest).any(axis=1).mean() - left:.1%}",
        "other prefix": f"{left:.1%}",
        "error, nearest": f"{before['relative_error']:.3f}",
        "error, matched": f"{after['relative_error']:.3f}",
        "codes in use": used,
        "entropy": entropy,
        "seconds": f"{seconds:.1f}",
    }


def _refits(vectors: Vectors, books: Codebooks) -> Sequence[Row]:
    had, size = assigned_codes(vectors, books), books.size
    found = {
        "same items, seed 1": _changed(vectors, had, size=size, start=books),
        "same items, seed 1, not aligned": _changed(vectors, had, size=size, start=None),
    }
    rng = np.random.default_rng(0)
    for share in (0.01, 0.1):
        kept = np.sort(rng.permutation(len(vectors))[: round((1 - share) * len(vectors))])
        changed = _changed(vectors[kept], had[kept], size=size, start=books)
        found[f"{share:.0%} of the items gone"] = changed
    other = _principal_components(vectors)
    cells = membership_centroids(other, had, codebook_size=size, seed=1)
    found[f"first {OTHER_WIDTH} components"] = _changed(other, had, size=size, start=cells)
    return [
        {"": f"{size} codes, {name}", **{level: f"{share:.1%}" for level, share in shares.items()}}
        for name, shares in found.items()
    ]


def _changed(
    vectors: Vectors, had: Codes, *, size: int, start: Codebooks | None
) -> Mapping[str, float]:
    books = fit(vectors, codebook_size=size, seed=1, start=start)
    none = Claims.none(len(had))
    claims = none if start is None else Claims(had, none.unmoved_N)
    return changed_codes(had, assigned_codes(vectors, books, claims=claims))


def _behaviour(sequences: Sequence[History], vectors: Vectors, books: Codebooks) -> Row:
    found = prefix_agreement(_neighbours(sequences), assigned_codes(vectors, books))
    names = {
        "c1": "c1",
        "c1_by_chance": "by chance",
        "c1_c2": "c1, c2",
        "c1_c2_by_chance": "chance",
    }
    return {"": str(books.size), **{names[key]: f"{share:.2%}" for key, share in found.items()}}


def _neighbours(sequences: Sequence[History]) -> Codes:
    """Return the pairs of different items that follow each other in a sequence."""
    steps = [np.stack((items[:-1], items[1:]), axis=1) for items in sequences]
    pairs: Codes = np.concatenate(steps)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def _principal_components(vectors: Vectors) -> Vectors:
    """Return vectors of another encoder, as it were: the first components, normalised."""
    centred = vectors - vectors.mean(axis=0)
    directions = np.linalg.svd(centred.astype(np.float64), full_matrices=False)[2][:OTHER_WIDTH]
    scores = centred @ directions.T
    found: Vectors = scores / np.linalg.norm(scores, axis=1, keepdims=True)
    return found.astype(np.float32)


def _as_table(title: str, rows: Sequence[Row]) -> str:
    columns = [title, *list(rows[0])[1:]]
    return table(columns, [list(row.values()) for row in rows])
