"""Evaluation: how good are SPUs, item vectors and user vectors, held against the truth?"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from encoders.cope.model import MISSING_BELOW

Matrix = NDArray[np.float32]
_DOMAINS = ("page", "video", "live")
DIRECTIONS = tuple((a, b) for a in _DOMAINS for b in _DOMAINS if a != b)


# SPUs


@dataclass(frozen=True)
class PairwiseScores:
    """Pairs said to be one product against pairs that are; None where there are no pairs."""

    precision: float | None
    recall: float | None
    f1: float | None


def pairwise_scores(predicted: Sequence[str], truth: Sequence[str]) -> PairwiseScores:
    """Compare a grouping of items with the true one, over all unordered pairs of items.

    Args:
        predicted: the SPU of each item.
        truth: the product of each item, in the same order.
    """
    if len(predicted) != len(truth):
        raise ValueError(f"{len(predicted)} predicted groups, but {len(truth)} true ones.")
    frame = pd.DataFrame({"predicted": list(predicted), "truth": list(truth)})
    both = _pairs(frame.groupby(["predicted", "truth"]).size())
    said = _pairs(frame.groupby("predicted").size())
    true = _pairs(frame.groupby("truth").size())
    precision, recall = (both / said if said else None), (both / true if true else None)
    f1 = 2 * both / (said + true) if said + true else None
    return PairwiseScores(precision, recall, f1)


def _pairs(sizes: "pd.Series[int]") -> int:
    counts = sizes.to_numpy(dtype=np.int64)
    return int((counts * (counts - 1) // 2).sum())


# COPE


@dataclass(frozen=True)
class Items:
    """Vectors of items, and what they are of.

    Attributes:
        domains, products: one an item.
        vectors: float32 [items, dim]; a row of NaN is an item without a vector.
    """

    domains: NDArray[np.str_]
    products: NDArray[np.str_]
    vectors: Matrix


@dataclass(frozen=True)
class Retrieval:
    """Recall in one direction.

    Attributes:
        recall: share of the queries with an item of the same product among the nearest ``k``.
        queries: items of the first domain whose product has an item in the second.
        candidates: items of the second domain.
    """

    recall: float
    queries: int
    candidates: int


def cross_domain_retrieval(
    items: Items, *, products: Collection[str], k: int = 1
) -> dict[tuple[str, str], Retrieval]:
    """Search each domain with items of each other, by cosine, among items of ``products`` alone.

    Any item of the query's product is a hit. An item without a vector is never found, and as a
    query never finds. Ties go to the earlier item.

    Args:
        products: those to evaluate on: products that no encoder was trained on.

    Returns:
        (query domain, candidate domain) -> recall at ``k``; directions without a query are absent.
    """
    wanted = np.isin(items.products, np.array(sorted(products), dtype=str))
    scores = {}
    for query_domain, candidate_domain in DIRECTIONS:
        queries = np.flatnonzero(wanted & (items.domains == query_domain))
        candidates = np.flatnonzero(wanted & (items.domains == candidate_domain))
        queries = queries[np.isin(items.products[queries], items.products[candidates])]
        if len(queries):
            found = _nearest(items.vectors[queries], items.vectors[candidates], k)
            same = items.products[candidates][found] == items.products[queries][:, None]
            hits = (same & (found >= 0)).any(axis=1)
            scores[query_domain, candidate_domain] = Retrieval(
                float(hits.mean()), len(queries), len(candidates)
            )
    return scores


def raw_vectors(image_features: Matrix, text_features: Matrix, domains: NDArray[np.str_]) -> Matrix:
    """Return what frozen backbones say without any training: the baseline of COPE.

    Each modality is L2-normalised, centred by its domain's mean and normalised again, so that
    picture and text weigh the same. A missing modality (NaN) adds nothing, nor does one that is
    its domain's mean: all that is left of it is rounding.

    Returns:
        float32 [items, image dim + text dim], L2 norm 1; NaN where both modalities are missing.
    """
    parts = [_centred(features, domains) for features in (image_features, text_features)]
    joined = np.concatenate([np.nan_to_num(part) for part in parts], axis=1)
    joined[np.isnan(parts[0]).any(axis=1) & np.isnan(parts[1]).any(axis=1)] = np.nan
    return _normalised(joined)


def _centred(features: Matrix, domains: NDArray[np.str_]) -> Matrix:
    centred = _normalised(features).copy()
    for domain in np.unique(domains):
        rows = domains == domain
        present = rows & ~np.isnan(centred).any(axis=1)
        if present.sum() > 1:  # a domain of one item is its own mean
            centred[present] -= centred[present].mean(axis=0)
    return _directions(centred)


def _nearest(queries: Matrix, candidates: Matrix, k: int) -> NDArray[np.intp]:
    """Positions of the ``k`` candidates nearest to each query; -1 where a vector is missing."""
    scores = _normalised(queries) @ _normalised(candidates).T
    scores = np.where(np.isnan(scores), -np.inf, scores)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    reached = np.take_along_axis(scores, order, axis=1)
    return np.where(np.isneginf(reached), -1, order)


# LEARN


@dataclass(frozen=True)
class Vectors:
    """Vectors by id: float32 [ids, dim]."""

    ids: Sequence[str]
    matrix: Matrix


@dataclass(frozen=True)
class NextInteractions:
    """Recall of what users turned to next.

    Attributes:
        learn, popularity, nearest_text, history_text: mean over users of the share of their next
            SPUs among the first ``k``.
        users: those with a history, a user vector and something next.
        masked: True: SPUs of a user's history were left out of all rankings and of what is sought.
    """

    learn: float
    popularity: float
    nearest_text: float
    history_text: float
    users: int
    masked: bool
    k: int


def next_interactions(
    events: pd.DataFrame,
    cut: pd.Timestamp,
    *,
    users: Vectors,
    spus: Vectors,
    texts: Vectors,
    k: int = 10,
    masked: bool = True,
) -> NextInteractions:
    """Rank all SPUs for each user and look where the SPUs of their events after ``cut`` stand.

    Args:
        events: user_id, spu_id, occurred_at.
        cut: end of what LEARN was trained on and user vectors were computed from.
        users, spus: LEARN's vectors, in one space.
        texts: vectors of SPU texts. Nearest text ranks by centred cosine to the user's last SPU
            before ``cut``, history text by the mean of it over all SPUs of the history.
        masked: leave out SPUs seen before ``cut``, in all rankings alike; else in none.

    Raises:
        LookupError: no user has a vector and events on both sides of the cut.
    """
    spu_row = {spu: row for row, spu in enumerate(spus.ids)}
    known = events[events["spu_id"].isin(spu_row) & events["user_id"].isin(set(users.ids))]
    before, later = known[known["occurred_at"] < cut], known[known["occurred_at"] >= cut]
    chosen = sorted(set(before["user_id"]) & set(later["user_id"]))
    if not chosen:
        raise LookupError(f"no user with a vector has events before and after {cut}.")
    seen, sought = _touched(before, chosen, spu_row), _touched(later, chosen, spu_row)
    hidden = seen if masked else np.zeros_like(seen)
    sought = sought & ~hidden
    last = before.sort_values("occurred_at", kind="stable").groupby("user_id")["spu_id"].last()
    alike = _text_similarity(_rows(texts, spus.ids))
    rankings = {
        "learn": _rows(users, chosen) @ spus.matrix.T,
        "popularity": np.broadcast_to(_distinct_users(before, spu_row), seen.shape),
        "nearest_text": alike[[spu_row[last[user]] for user in chosen]],
        "history_text": seen @ alike,
    }
    recalls = {
        name: recall_at_k(scores, sought, hidden=hidden, k=k) for name, scores in rankings.items()
    }
    return NextInteractions(**recalls, users=int(sought.any(axis=1).sum()), masked=masked, k=k)


def recall_at_k(
    scores: NDArray[np.floating], sought: NDArray[np.bool_], *, hidden: NDArray[np.bool_], k: int
) -> float:
    """Return the mean, over users who seek anything, of its share among the ``k`` best scores.

    Args:
        scores: [users, SPUs]. Ties go to the earlier SPU.
        sought: [users, SPUs].
        hidden: [users, SPUs]: left out of the ranking.
    """
    ranked = np.argsort(-np.where(hidden, -np.inf, scores), axis=1, kind="stable")[:, :k]
    hits = (np.take_along_axis(sought & ~hidden, ranked, axis=1)).sum(axis=1)
    counts = sought.sum(axis=1)
    seeking = counts > 0
    return float((hits[seeking] / counts[seeking]).mean()) if seeking.any() else 0.0


def _touched(
    events: pd.DataFrame, users: Sequence[str], spu_row: Mapping[str, int]
) -> NDArray[np.bool_]:
    user_row = {user: row for row, user in enumerate(users)}
    own = events[events["user_id"].isin(user_row)]
    touched = np.zeros((len(users), len(spu_row)), dtype=bool)
    touched[own["user_id"].map(user_row), own["spu_id"].map(spu_row)] = True
    return touched


def _distinct_users(events: pd.DataFrame, spu_row: Mapping[str, int]) -> NDArray[np.float64]:
    counts = np.zeros(len(spu_row))
    for spu, count in events.groupby("spu_id")["user_id"].nunique().items():
        counts[spu_row[str(spu)]] = count
    return counts


def _text_similarity(texts: Matrix) -> Matrix:
    """Centred cosine of every SPU's text to every other's; -1 where an SPU has no text."""
    normalised = _normalised(texts)
    centred = _directions(normalised - np.nanmean(normalised, axis=0))
    similarity: Matrix = np.nan_to_num(centred @ centred.T, nan=-1.0)
    return similarity


def _rows(vectors: Vectors, ids: Sequence[str]) -> Matrix:
    """Vectors in the order of ``ids``; NaN for an id without one."""
    row = {each: index for index, each in enumerate(vectors.ids)}
    found = np.full((len(ids), vectors.matrix.shape[1]), np.nan, dtype=np.float32)
    for index, each in enumerate(ids):
        if each in row:
            found[index] = vectors.matrix[row[each]]
    return found


def _directions(centred: Matrix) -> Matrix:
    """Rows of L2 norm 1; NaN where a row is so near to the mean that it has no direction."""
    near = np.linalg.norm(centred, axis=1, keepdims=True) < MISSING_BELOW
    return _normalised(np.where(near, np.nan, centred).astype(np.float32))


def _normalised(vectors: Matrix) -> Matrix:
    """Rows of L2 norm 1; rows of zeros stay."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Matrix = np.asarray(vectors / np.where(norms == 0, 1, norms), dtype=np.float32)
    return unit
