"""COPE evaluation: is an item's SPU found in another domain, better than with the raw features?

Retrieval in every direction between two domains, many positives a query, as in COPE (section 4.2).

Shapes: Q queries, C candidates, D numbers.
"""

from collections.abc import Mapping, Sequence

import torch

from encoders.cope.model import CopeHeads, Features
from encoders.cope.sampling import CopeData

_RANKS = (1, 5, 10)
_QUERIES_AT_ONCE = 512


def raw_vectors(heads: CopeHeads, items: Features) -> torch.Tensor:
    """Return what heads have to beat: both modalities, centred by domain, unreduced, unit norm."""
    with torch.no_grad():
        both = torch.cat(heads.centred(items), dim=1)
    return torch.nn.functional.normalize(both, dim=1)


def retrieval(
    queries_QD: torch.Tensor,
    query_spu_Q: torch.Tensor,
    candidates_CD: torch.Tensor,
    candidate_spu_C: torch.Tensor,
) -> dict[str, float]:
    """Return R@1, R@5, R@10 (a positive among the first k), mAP and MRR.

    Means over the queries that have a positive; empty without any.
    """
    totals: dict[str, float] = {}
    known = torch.isin(query_spu_Q, candidate_spu_C)
    queries_QD, query_spu_Q = queries_QD[known], query_spu_Q[known]
    for start in range(0, len(queries_QD), _QUERIES_AT_ONCE):
        rows = slice(start, start + _QUERIES_AT_ONCE)
        order_QC = (queries_QD[rows] @ candidates_CD.T).argsort(dim=1, descending=True, stable=True)
        hits_QC = candidate_spu_C[order_QC] == query_spu_Q[rows].unsqueeze(1)
        for name, value in _figures(hits_QC).items():
            totals[name] = totals.get(name, 0.0) + value
    return {name: total / len(queries_QD) for name, total in totals.items()}


def _figures(hits_QC: torch.Tensor) -> dict[str, float]:
    """Return sums over queries; ``hits_QC`` says which candidates, best first, are positives."""
    rank_C = torch.arange(1, hits_QC.shape[1] + 1)
    precision_QC = hits_QC.cumsum(dim=1) / rank_C
    average_Q = (precision_QC * hits_QC).sum(dim=1) / hits_QC.sum(dim=1)
    first_Q = hits_QC.int().argmax(dim=1)
    figures = {f"R@{k}": float((first_Q < k).sum()) for k in _RANKS}
    return {**figures, "mAP": float(average_Q.sum()), "MRR": float((1 / (first_Q + 1)).sum())}


def directions(
    emb_ND: torch.Tensor, data: CopeData, domains: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return ``retrieval`` for each ordered pair of domains with a common SPU, as ``page>video``.

    Where only one domain has items, ``page>page``: each item among all others.
    """
    figures = {}
    rows = [torch.nonzero(data.items.domain_B == row).squeeze(1) for row in range(len(domains))]
    for left, left_rows in enumerate(rows):
        for right, right_rows in enumerate(rows):
            if left == right:
                continue
            said = retrieval(
                emb_ND[left_rows], data.spu_N[left_rows], emb_ND[right_rows], data.spu_N[right_rows]
            )
            if said:
                figures[f"{domains[left]}>{domains[right]}"] = said
    return figures or _within(emb_ND, data, domains)


def _within(
    emb_ND: torch.Tensor, data: CopeData, domains: Sequence[str]
) -> dict[str, dict[str, float]]:
    figures = {}
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
        figures[f"{name}>{name}"] = said
    return figures


def mean_of(figures: Mapping[str, Mapping[str, float]], name: str) -> float:
    """Return one figure's mean over directions; 0 without any."""
    return sum(said[name] for said in figures.values()) / max(1, len(figures))
