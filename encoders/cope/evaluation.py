"""COPE evaluation: is an item's SPU found in another domain, better than with the raw features?

Retrieval in every direction between two domains, many positives a query, as in COPE (section 4.2).

Shapes: Q queries, C candidates, D numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from encoders.cope.model import CopeHeads, Features
from encoders.cope.sampling import CopeData
from encoders.resampling import Scores

_RANKS = (1, 5, 10)
_QUERIES_AT_ONCE = 512


def raw_vectors(heads: CopeHeads, items: Features) -> torch.Tensor:
    """Return what heads have to beat: both modalities, centred by domain, unreduced, unit norm.

    NaN where both are missing, as in the heads' vectors.
    """
    with torch.no_grad():
        both = torch.cat(heads.centred(items), dim=1)
    missing = (both == 0).all(dim=1, keepdim=True)
    return torch.nn.functional.normalize(both, dim=1).masked_fill(missing, torch.nan)


@dataclass(frozen=True)
class Retrieved:
    """What searching gave, for each query that has a positive.

    Attributes:
        spu_Q: SPU of each query.
        scores: R@1, R@5, R@10 (1 where a positive is among the first k), mAP (a query's average
            precision) and MRR (1 by the rank of its first positive), each [Q].
    """

    spu_Q: torch.Tensor
    scores: Mapping[str, torch.Tensor]

    @property
    def means(self) -> dict[str, float]:
        """Figures over the queries."""
        return {name: float(score_Q.mean()) for name, score_Q in self.scores.items()}


def retrieval(
    queries_QD: torch.Tensor,
    query_spu_Q: torch.Tensor,
    candidates_CD: torch.Tensor,
    candidate_spu_C: torch.Tensor,
) -> Retrieved | None:
    """Search candidates by inner product; None where no query has a positive.

    A candidate without a vector (NaN) is never found, and a query without one finds nothing.
    """
    known = torch.isin(query_spu_Q, candidate_spu_C)
    queries_QD, query_spu_Q = queries_QD[known], query_spu_Q[known]
    if not len(queries_QD):
        return None
    parts = []
    for start in range(0, len(queries_QD), _QUERIES_AT_ONCE):
        rows = slice(start, start + _QUERIES_AT_ONCE)
        cosine_QC = (queries_QD[rows] @ candidates_CD.T).nan_to_num(nan=-torch.inf)
        cosine_QC, order_QC = cosine_QC.sort(dim=1, descending=True, stable=True)
        positive_QC = candidate_spu_C[order_QC] == query_spu_Q[rows].unsqueeze(1)
        parts.append(_scores(positive_QC, positive_QC & cosine_QC.isfinite()))
    return Retrieved(query_spu_Q, {name: torch.cat([p[name] for p in parts]) for name in parts[0]})


def _scores(positive_QC: torch.Tensor, hits_QC: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return each query's scores.

    Args:
        positive_QC: which candidates, best first, are of the query's SPU.
        hits_QC: which of them can be found.
    """
    rank_C = torch.arange(1, hits_QC.shape[1] + 1, dtype=torch.float64)
    precision_QC = hits_QC.cumsum(dim=1) / rank_C
    average_Q = (precision_QC * hits_QC).sum(dim=1) / positive_QC.sum(dim=1)
    first_Q = hits_QC.int().argmax(dim=1).double()
    first_Q = first_Q.masked_fill(~hits_QC.any(dim=1), torch.inf)
    found = {f"R@{k}": (first_Q < k).double() for k in _RANKS}
    return {**found, "mAP": average_Q, "MRR": 1 / (first_Q + 1)}


def directions(
    emb_ND: torch.Tensor, data: CopeData, domains: Sequence[str]
) -> dict[str, Retrieved]:
    """Return ``retrieval`` for each ordered pair of domains with a common SPU, as ``page>video``.

    Where only one domain has items, ``page>page``: each item among all others.
    """
    retrieved = {}
    rows = [torch.nonzero(data.items.domain_B == row).squeeze(1) for row in range(len(domains))]
    for left, left_rows in enumerate(rows):
        for right, right_rows in enumerate(rows):
            if left == right:
                continue
            said = retrieval(
                emb_ND[left_rows], data.spu_N[left_rows], emb_ND[right_rows], data.spu_N[right_rows]
            )
            if said is not None:
                retrieved[f"{domains[left]}>{domains[right]}"] = said
    return retrieved or _within(emb_ND, data, domains)


def _within(emb_ND: torch.Tensor, data: CopeData, domains: Sequence[str]) -> dict[str, Retrieved]:
    retrieved = {}
    for domain, name in enumerate(domains):
        rows = torch.nonzero(data.items.domain_B == domain).squeeze(1)
        spu = data.spu_N[rows]
        repeated = spu.bincount(minlength=1)[spu] > 1
        if repeated.sum() < 2:
            continue
        # One item of each SPU asks, the others answer: an item is never its own candidate.
        order = torch.argsort(spu, stable=True)
        first = torch.zeros(len(spu), dtype=torch.bool)
        first[order] = torch.cat((torch.ones(1, dtype=torch.bool), spu[order].diff() != 0))
        queries, rest = rows[first & repeated], rows[~first]
        said = retrieval(emb_ND[queries], data.spu_N[queries], emb_ND[rest], data.spu_N[rest])
        if said is not None:
            retrieved[f"{name}>{name}"] = said
    return retrieved


def means(retrieved: Mapping[str, Retrieved]) -> dict[str, dict[str, float]]:
    """Return the figures of each direction."""
    return {direction: said.means for direction, said in retrieved.items()}


def mean_of(retrieved: Mapping[str, Retrieved], name: str) -> float:
    """Return one figure's mean over directions; 0 without any."""
    return sum(said.means[name] for said in retrieved.values()) / max(1, len(retrieved))


def scores_by_spu(retrieved: Mapping[str, Retrieved], name: str) -> Scores:
    """Return one figure as what resampling of SPUs needs; its parts are the directions."""
    spus = torch.from_numpy(np.unique(np.concatenate([its.spu_Q for its in retrieved.values()])))
    sums, cases = [], []
    for said in retrieved.values():
        group_Q = torch.searchsorted(spus, said.spu_Q)
        sums.append(group_Q.bincount(said.scores[name], minlength=len(spus)))
        cases.append(group_Q.bincount(minlength=len(spus)))
    return Scores(torch.stack(sums).double().numpy(), torch.stack(cases).double().numpy())
