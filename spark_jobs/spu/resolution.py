"""Resolution of all pages: blocking, comparison, scoring and clustering composed.

35,311 offers with a million candidate pairs took 165 to 200 s on two busy cores.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from spark_jobs.config import SpuConfig
from spark_jobs.spu.blocking import candidate_pairs, forbidden, with_pairs
from spark_jobs.spu.clustering import ScoredPairs, Start, average_linkage
from spark_jobs.spu.comparison import pair_features
from spark_jobs.spu.copies import stand_ins
from spark_jobs.spu.scoring import Candidates, pair_scores
from spark_jobs.spu.token_matrices import Catalogue, Floats, Ints, catalogue, exclusive_numbers

# Yesterday's grouping is evidence: scores must differ from the cut by this much to undo it.
# Otherwise pairs near the cut would change sides whenever the idf of the catalogue does.
HYSTERESIS = 0.15


@dataclass(frozen=True)
class Clusters:
    """Clusters of N rows.

    Attributes:
        label: [N] smallest row of the row's cluster.
        confidence: [N] mean score of the row's links inside its cluster; 1 where it is alone.
    """

    label: Ints
    confidence: Floats


def page_clusters(pages: pd.DataFrame, config: SpuConfig) -> Clusters:
    """Cluster pages by their attributes.

    Args:
        pages: source, title, text, brand, category, attributes, price, and spu_id, which is
            yesterday's or None. Sorted by key, so that the result does not depend on their order.
    """
    n = len(pages)
    if n == 0:
        return Clusters(np.zeros(0, dtype=np.int64), np.zeros(0))
    exclusive = exclusive_numbers(pages, config.exclusive_sources)
    known = numbered_spus(pages["spu_id"])
    stand_in = stand_ins(pages, known, np.zeros(n, bool), exclusive)
    compared = np.unique(stand_in)
    items = catalogue(pages.iloc[compared], config.exclusive_sources)
    before = _commonest(known, stand_in)[compared]
    pairs = candidate_pairs(items, config.max_block_size)
    row_l, row_r = with_pairs(pairs, yesterdays_pairs(before, items), len(compared))
    candidates = Candidates(items, row_l, row_r, pair_features(items, row_l, row_r))
    scores = pair_scores(candidates, config.self_training_rounds)
    steadied = with_hysteresis(scores, before[row_l], before[row_r])
    page_l, page_r = compared[row_l], compared[row_r]
    label = average_linkage(
        ScoredPairs(page_l, page_r, steadied),
        n,
        cut=config.cut,
        exclusive_source=exclusive,
        start=Start(stand_in, np.ones(n, dtype=np.int64)),
    )
    return Clusters(label, link_confidence(label, ScoredPairs(page_l, page_r, scores))[stand_in])


def _commonest(known: Ints, stand_in: Ints) -> Ints:
    """Return [N] the SPU in which most of the row's copies were yesterday, at their stand-in."""
    usual = known.copy()
    for row in np.flatnonzero(np.bincount(stand_in) > 1):
        numbers, counts = np.unique(known[(stand_in == row) & (known >= 0)], return_counts=True)
        usual[row] = numbers[counts.argmax()] if len(numbers) else -1
    return usual


def with_hysteresis(scores: Floats, spu_l: Ints, spu_r: Ints) -> Floats:
    """Return scores raised where both items were in one SPU yesterday, lowered where in two.

    Args:
        spu_l: [M] number of the left item's SPU yesterday, -1 where it had none.
        spu_r: [M] the same of the right item.
    """
    known = (spu_l >= 0) & (spu_r >= 0)
    verdict = np.where(spu_l == spu_r, HYSTERESIS, -HYSTERESIS)
    return np.clip(scores + np.where(known, verdict, 0.0), 0.0, 1.0)


def numbered_spus(spu_ids: pd.Series) -> Ints:
    """Return [N] a number of each row's SPU, -1 where it has none."""
    numbers, _ = pd.factorize(spu_ids, sort=True)
    return np.asarray(numbers, dtype=np.int64)


def yesterdays_pairs(spu: Ints, items: Catalogue) -> tuple[Ints, Ints]:
    """Return pairs of each row and the next three of its SPU, in addition to those of blocking."""
    rows = np.flatnonzero(spu >= 0)
    rows = rows[np.argsort(spu[rows], kind="stable")]
    left = np.concatenate([rows[:-step] for step in (1, 2, 3)])
    right = np.concatenate([rows[step:] for step in (1, 2, 3)])
    kept = (spu[left] == spu[right]) & ~forbidden(items, left, right)
    return left[kept], right[kept]


def link_confidence(label: Ints, pairs: ScoredPairs) -> Floats:
    """Return [N] mean score of each row's links inside its cluster; 1 where it has none."""
    inside = label[pairs.row_l] == label[pairs.row_r]
    ends = np.concatenate([pairs.row_l[inside], pairs.row_r[inside]])
    total = np.bincount(ends, np.tile(pairs.score[inside], 2), minlength=len(label))
    links = np.bincount(ends, minlength=len(label))
    return np.where(links > 0, total / np.maximum(links, 1), 1.0)
