"""Incremental resolution: assign new and changed pages to SPUs; all other pages keep theirs.

So the cost of a night follows its changes. SPUs of unchanged pages are the labels from which the
weights of tonight's pairs are learned. A new or changed page is compared only with its candidates,
and clustering starts from yesterday's SPUs. Two SPUs of yesterday are neither merged nor split: the
nights that resolve all pages do that.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spark_jobs.config import SpuConfig
from spark_jobs.spu.blocking import CANDIDATES_PER_ITEM, candidate_pairs, with_pairs
from spark_jobs.spu.clustering import ScoredPairs, Start, average_linkage
from spark_jobs.spu.comparison import pair_features
from spark_jobs.spu.copies import stand_ins
from spark_jobs.spu.resolution import (
    Clusters,
    link_confidence,
    numbered_spus,
    with_hysteresis,
    yesterdays_pairs,
)
from spark_jobs.spu.scoring import Candidates, sampled, scores_by_example
from spark_jobs.spu.token_matrices import Floats, Ints, catalogue, exclusive_numbers

# Unchanged pages whose pairs are examples; some ten thousand pairs are enough to learn the weights.
_EXAMPLES = 2_000


def joined_clusters(
    pages: pd.DataFrame, arrived: NDArray[np.bool_], confidence: Floats, config: SpuConfig
) -> Clusters:
    """Keep yesterday's clusters, and let new and changed pages join them or each other.

    Args:
        pages: as for ``resolution.page_clusters``; those that did not arrive have an ``spu_id``.
        arrived: [N] True where the page is new or changed tonight.
        confidence: [N] yesterday's, which unchanged pages keep.
    """
    known = numbered_spus(pages["spu_id"])
    exclusive = exclusive_numbers(pages, config.exclusive_sources)
    stand_in = stand_ins(pages, known, ~arrived, exclusive)
    start = _start(known, arrived, stand_in)
    if not arrived.any():
        return Clusters(start.label, confidence)
    compared = np.unique(stand_in)
    items = catalogue(pages.iloc[compared], config.exclusive_sources)
    is_new, before = arrived[compared], known[compared]
    query_rows = np.union1d(np.flatnonzero(is_new), sampled(np.flatnonzero(~is_new), _EXAMPLES))
    pairs = candidate_pairs(items, config.max_block_size, query_rows=query_rows)
    kept = yesterdays_pairs(before, items)
    touching = is_new[kept[0]] | is_new[kept[1]]
    row_l, row_r = with_pairs(pairs, (kept[0][touching], kept[1][touching]), len(compared))
    candidates = Candidates(items, row_l, row_r, pair_features(items, row_l, row_r))
    settled = ~(is_new[row_l] | is_new[row_r])
    scores = scores_by_example(candidates, start.label[compared], settled)
    steadied = with_hysteresis(scores, before[row_l], before[row_r])
    page_l, page_r = compared[row_l], compared[row_r]
    label = average_linkage(
        ScoredPairs(page_l[~settled], page_r[~settled], steadied[~settled]),
        len(pages),
        cut=config.cut,
        exclusive_source=exclusive,
        start=start,
    )
    computed = link_confidence(label, ScoredPairs(page_l, page_r, scores))[stand_in]
    return Clusters(label, np.where(arrived, computed, confidence))


def _start(known: Ints, arrived: NDArray[np.bool_], stand_in: Ints) -> Start:
    """Return yesterday's SPUs as clusters, with new copies of their pages; others are alone."""
    n = len(known)
    of_spu = ~arrived[stand_in]
    number = np.where(of_spu, known[stand_in], n + stand_in)
    label = pd.Series(np.arange(n)).groupby(number).transform("min").to_numpy(np.int64)
    sizes = np.bincount(label[np.unique(stand_in)], minlength=n)
    return Start(label, np.minimum(sizes, CANDIDATES_PER_ITEM))
