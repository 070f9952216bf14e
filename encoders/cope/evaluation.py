"""Evaluation of COPE: retrieval of an item's SPU across domains, beside the raw features.

Retrieval in every direction between two domains, many positives a query, as in COPE (section 4.2).

Where pictures have parts, an item is as near to another as the nearest of its vectors.

Shapes: N items, Q queries, C candidates, D numbers, P vectors of an item, V parts of pictures.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.cope.items import Features
from encoders.cope.model import Heads
from encoders.cope.sampling import CopeData
from encoders.resampling import Scores
from encoders.retrieval import rank_relevant, relevant_by_label


def raw_vectors(heads: Heads, items: Features) -> torch.Tensor:
    """Return the baseline of heads: both modalities, centred by domain, unreduced, unit norm.

    NaN where both are missing, as in the heads' vectors.
    """
    with torch.no_grad():
        both = torch.cat(heads.centred(items), dim=1)
    missing = (both == 0).all(dim=1, keepdim=True)
    return torch.nn.functional.normalize(both, dim=1).masked_fill(missing, torch.nan)


def item_vectors(vectors: Callable[[Features], torch.Tensor], data: CopeData) -> torch.Tensor:
    """Return the vectors of items [N, D]; of data with parts, those of the parts too [N, P, D].

    NaN where there is none.
    """
    whole_ND, parts = vectors(data.items), data.parts
    if parts is None:
        return whole_ND
    # To the encoder a part is an item with the text of its scene.
    scenes = data.items[parts.item_V]
    count = 2 + int(parts.part_V.max()) if len(parts.part_V) else 1
    emb_NPD = whole_ND.new_full((len(whole_ND), count, whole_ND.shape[1]), torch.nan)
    emb_NPD[:, 0] = whole_ND
    emb_NPD[parts.item_V, 1 + parts.part_V] = vectors(replace(scenes, image_BI=parts.image_VI))
    return emb_NPD


def similarities(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return the inner product of each two items, the highest of several; NaN without vectors.

    Args:
        left: vectors of Q items [Q, D] or [Q, P, D].
        right: of C items, alike.

    Returns:
        [Q, C].
    """
    products = (q_QD @ c_CD.T for q_QD in _each(left) for c_CD in _each(right))
    return reduce(torch.fmax, products)


def _each(emb: torch.Tensor) -> Sequence[torch.Tensor]:
    """Return the first vector of each item, then each further one that some item has."""
    if emb.dim() == 2:
        return [emb]
    first, *others = emb.unbind(dim=1)
    return [first, *(other_ND for other_ND in others if not other_ND[:, 0].isnan().all())]


@dataclass(frozen=True)
class Retrieved:
    """Scores of the queries that have a positive.

    Attributes:
        spu_Q: SPU of each query.
        scores: R@1, R@5, R@10 (1 where a positive is among the first k), mAP (a query's average
            precision) and MRR (1 by the rank of its first positive), each [Q].
    """

    spu_Q: NDArray[np.int64]
    scores: Mapping[str, NDArray[np.float64]]

    @property
    def means(self) -> dict[str, float]:
        """Figures over the queries."""
        return {name: float(score_Q.mean()) for name, score_Q in self.scores.items()}


def retrieval(
    queries: torch.Tensor,
    query_spu_Q: torch.Tensor,
    candidates: torch.Tensor,
    candidate_spu_C: torch.Tensor,
) -> Retrieved | None:
    """Search candidates by ``similarities``; None where no query has a positive.

    A candidate without a vector (NaN) is never found, and a query without one finds nothing.
    """
    known_Q = torch.isin(query_spu_Q, candidate_spu_C)
    queries, spu_Q = queries[known_Q], query_spu_Q[known_Q].numpy()
    if not len(spu_Q):
        return None

    def cosines(rows: slice) -> NDArray[np.float32]:
        return similarities(queries[rows], candidates).numpy()

    ranks = rank_relevant(cosines, relevant_by_label(spu_Q, candidate_spu_C.numpy()))
    scores = {
        **{f"R@{k}": ranks.hit(k) for k in (1, 5, 10)},
        "mAP": ranks.average_precision(),
        "MRR": ranks.reciprocal_rank(),
    }
    return Retrieved(spu_Q, scores)


def directions(
    emb_ND: torch.Tensor, data: CopeData, domains: Sequence[str]
) -> dict[str, Retrieved]:
    """Return ``retrieval`` for each ordered pair of domains with a common SPU, as ``page>video``.

    Args:
        emb_ND: of the items of ``data``, or [N, P, D]: as from ``item_vectors``.

    Where only one domain has items, ``page>page``: each item among all others.
    """
    retrieved = {}
    rows = [torch.nonzero(data.items.domain_B == row).squeeze(1) for row in range(len(domains))]
    for left, left_rows in enumerate(rows):
        for right, right_rows in enumerate(rows):
            if left == right:
                continue
            found = _search(emb_ND, data, left_rows, right_rows)
            if found is not None:
                retrieved[f"{domains[left]}>{domains[right]}"] = found
    return retrieved or _within(emb_ND, data, domains)


def _within(emb_ND: torch.Tensor, data: CopeData, domains: Sequence[str]) -> dict[str, Retrieved]:
    retrieved = {}
    for domain, name in enumerate(domains):
        rows = torch.nonzero(data.items.domain_B == domain).squeeze(1)
        spu = data.spu_N[rows]
        repeated = spu.bincount(minlength=1)[spu] > 1
        if repeated.sum() < 2:
            continue
        # The first item of each SPU is a query, the others are candidates: none is its own.
        order = torch.argsort(spu, stable=True)
        first = torch.zeros(len(spu), dtype=torch.bool)
        first[order] = torch.cat((torch.ones(1, dtype=torch.bool), spu[order].diff() != 0))
        found = _search(emb_ND, data, rows[first & repeated], rows[~first])
        if found is not None:
            retrieved[f"{name}>{name}"] = found
    return retrieved


def _search(
    emb_ND: torch.Tensor, data: CopeData, queries_Q: torch.Tensor, candidates_C: torch.Tensor
) -> Retrieved | None:
    return retrieval(
        emb_ND[queries_Q], data.spu_N[queries_Q], emb_ND[candidates_C], data.spu_N[candidates_C]
    )


def means(retrieved: Mapping[str, Retrieved]) -> dict[str, dict[str, float]]:
    """Return the figures of each direction."""
    return {direction: found.means for direction, found in retrieved.items()}


def mean_of(retrieved: Mapping[str, Retrieved], name: str) -> float:
    """Return one figure's mean over directions; 0 without any."""
    return sum(found.means[name] for found in retrieved.values()) / max(1, len(retrieved))


def scores_by_spu(retrieved: Mapping[str, Retrieved], name: str) -> Scores:
    """Return one figure as what resampling of SPUs needs; its parts are the directions."""
    spus = np.unique(np.concatenate([found.spu_Q for found in retrieved.values()]))
    sums, cases = [], []
    for found in retrieved.values():
        group_Q = np.searchsorted(spus, found.spu_Q)
        sums.append(np.bincount(group_Q, found.scores[name], len(spus)))
        cases.append(np.bincount(group_Q, minlength=len(spus)).astype(float))
    return Scores(np.stack(sums), np.stack(cases))
