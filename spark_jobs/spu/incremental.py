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
from spark_jobs.spu.resolution import (
    Clusters,
    link_confidence,
    numbered_spus,
    with_hysteresis,
    yesterdays_pairs,
)
from spark_jobs.spu.scoring import Candidates, exclusive_source, sampled, scores_by_example
from spark_jobs.spu.token_matrices import Floats, catalogue

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
    start = _start(pages["spu_id"], arrived)
    if not arrived.any():
        return Clusters(start.label, confidence)
    items = catalogue(pages, config.exclusive_sources)
    known = numbered_spus(pages["spu_id"])
    query_rows = np.union1d(np.flatnonzero(arrived), sampled(np.flatnonzero(~arrived), _EXAMPLES))
    pairs = candidate_pairs(items, config.max_block_size, query_rows=query_rows)
    kept = yesterdays_pairs(known, items)
    touching = arrived[kept[0]] | arrived[kept[1]]
    row_l, row_r = with_pairs(pairs, (kept[0][touching], kept[1][touching]), len(pages))
    candidates = Candidates(items, row_l, row_r, pair_features(items, row_l, row_r))
    settled = ~(arrived[row_l] | arrived[row_r])
    scores = scores_by_example(candidates, start.label, settled)
    steadied = with_hysteresis(scores, known[row_l], known[row_r])
    label = average_linkage(
        ScoredPairs(row_l[~settled], row_r[~settled], steadied[~settled]),
        len(pages),
        cut=config.cut,
        exclusive_source=exclusive_source(items),
        start=start,
    )
    computed = link_confidence(label, ScoredPairs(row_l, row_r, scores))
    return Clusters(label, np.where(arrived, computed, confidence))


def _start(spu_ids: pd.Series, arrived: NDArray[np.bool_]) -> Start:
    """Return yesterday's SPUs as clusters; each new or changed page is one of its own."""
    rows = pd.Series(np.arange(len(spu_ids)))
    label = rows.groupby(spu_ids.where(~arrived).to_numpy()).transform("min")
    return Start(np.where(arrived, rows, label).astype(np.int64), CANDIDATES_PER_ITEM)
