"""Scoring: match scores of candidate pairs by self-training, without labelled pairs.

A fixed prior over the features ranks the pairs well enough to cluster them once. The clusters are
labels: pairs inside one are matches, pairs across are not, and where a source lists a product at
most once, the other candidates of a matched item are hard non-matches. A small logistic regression
learns from them, its scores cluster the pairs again, and so on for a few rounds (more rounds drift
towards precision).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from spark_jobs.spu.clustering import ScoredPairs, average_linkage
from spark_jobs.spu.comparison import gap_to_next
from spark_jobs.spu.token_matrices import Catalogue, Floats, Ints

# The prior: similar titles, the same code, no contradiction. In units of word overlap; chosen once
# on public product data and kept, because the following rounds learn the feed's own weights.
PRIOR_WEIGHTS = {
    "word_dice": 1.0,
    "text_cosine": 0.5,
    "gram_cosine": 0.5,
    "code_equal": 0.5,
    "code_contained": 0.35,
    "code_likeness": 0.2,
    "code_in_text": 0.3,
    "code_conflict": -0.4,
    "measure_conflict": -0.35,
    "number_conflict": -0.04,
    "brand_conflict": -0.2,
    "category_conflict": -0.2,
    "price_distance": -0.1,
    "word_rarest_shared": 0.04,
    "word_rarest_left_min": -0.02,
}
_CAPS = {"code_equal": 1.0, "code_in_text": 1.0, "measure_conflict": 2.0, "number_conflict": 8.0}
_PRIOR_MIDDLE, _PRIOR_WIDTH = 1.1, 0.2
# Stricter than the final cut: labels should be surer than final decisions.
_LABEL_CUT = 0.5
_MOST_EXAMPLES = 100_000
_SURELY_APART = 0.02
_LEAST_OF_A_CLASS = 20


@dataclass(frozen=True)
class Candidates:
    """M candidate pairs and their features."""

    items: Catalogue
    row_l: Ints
    row_r: Ints
    features: pd.DataFrame


def prior_scores(features: pd.DataFrame) -> Floats:
    """Return [M] scores from 0 to 1 of the fixed rules that start the self-training."""
    total = np.full(len(features), -_PRIOR_MIDDLE)
    for name, weight in PRIOR_WEIGHTS.items():
        total += weight * np.minimum(features[name].to_numpy(), _CAPS.get(name, np.inf))
    return np.asarray(1 / (1 + np.exp(-total / _PRIOR_WIDTH)))


def pair_scores(candidates: Candidates, rounds: int, *, cut: float = _LABEL_CUT) -> Floats:
    """Return [M] scores from 0 to 1 after self-training; the prior's where it cannot learn."""
    scores = prior_scores(candidates.features)
    items, n = candidates.items, len(candidates.items.records)
    for _ in range(rounds):
        pairs = ScoredPairs(candidates.row_l, candidates.row_r, scores)
        cluster = average_linkage(pairs, n, cut=cut, exclusive_source=exclusive_source(items))
        labels = pseudo_labels(candidates, scores, cluster, cut=cut)
        learned = _learned_scores(candidates, scores, labels)
        if learned is None:
            break
        scores = learned
    return scores


def scores_by_example(
    candidates: Candidates, cluster: Ints, is_example: NDArray[np.bool_]
) -> Floats:
    """Return [M] scores from 0 to 1, learned from known clusters; the prior's where it cannot.

    Args:
        cluster: [N] cluster of each row.
        is_example: [M] True for the pairs to learn from.
    """
    prior = prior_scores(candidates.features)
    labels, used = pseudo_labels(candidates, prior, cluster, cut=_LABEL_CUT)
    learned = _learned_scores(candidates, prior, (labels, used & is_example))
    return prior if learned is None else learned


def _learned_scores(
    candidates: Candidates, scores: Floats, examples: tuple[NDArray[np.bool_], NDArray[np.bool_]]
) -> Floats | None:
    """Return [M] scores of a model fitted to labels; None where these are too few."""
    labels, used = examples
    if min(labels[used].sum(), (~labels[used]).sum()) < _LEAST_OF_A_CLASS:
        return None
    inputs = _inputs(candidates, scores)
    chosen = sampled(np.flatnonzero(used), _MOST_EXAMPLES)
    model = _model().fit(inputs[chosen], labels[chosen])
    return np.asarray(model.predict_proba(inputs)[:, 1], dtype=float)


def exclusive_source(items: Catalogue) -> Ints:
    """Return [N] the item's source where that lists a product at most once, or else -1."""
    return np.where(items.exclusive, items.source, -1)


def pseudo_labels(
    candidates: Candidates, scores: Floats, cluster: Ints, *, cut: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return [M] whether a pair is in one cluster, and [M] whether to learn from it.

    Left out are pairs inside a cluster with a low score, and pairs across clusters that have
    neither a low score nor a rival in the other's cluster. Learning these as non-matches would
    lower recall from round to round.
    """
    row_l, row_r, items = candidates.row_l, candidates.row_r, candidates.items
    together = cluster[row_l] == cluster[row_r]
    taken = _place_taken(items, cluster, row_l, row_r) | _place_taken(items, cluster, row_r, row_l)
    apart = ~together & (taken | (scores < _SURELY_APART))
    return together, apart | (together & (scores > cut))


def _place_taken(items: Catalogue, cluster: Ints, row: Ints, other: Ints) -> NDArray[np.bool_]:
    """Return [M] True where the cluster of ``row`` holds a rival of ``other``.

    A rival is an item of the other's source where that is exclusive, and else any further item.
    """
    size = np.bincount(cluster, minlength=len(cluster))
    n_sources = int(items.source.max()) + 1
    held = np.unique(cluster * n_sources + items.source)
    same_source = np.isin(cluster[row] * n_sources + items.source[other], held)
    return np.where(items.exclusive[other], same_source, size[cluster[row]] > 1)


def _inputs(candidates: Candidates, scores: Floats) -> NDArray[np.float64]:
    """Return [M, 2F] features, and again where both items have a code: these have own weights."""
    items, row_l, row_r = candidates.items, candidates.row_l, candidates.row_r
    columns = [candidates.features.to_numpy()]
    if items.exclusive.any():
        columns.append(gap_to_next(items, row_l, row_r, scores)[:, None])
    inputs = np.hstack(columns)
    return np.hstack([inputs, inputs * candidates.features[["code_both"]].to_numpy()])


def _model() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))


def sampled(rows: Ints, most: int) -> Ints:
    """Return at most ``most`` of the rows, the same ones in every run, in ascending order."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
