"""Examples of retrieval: items that were looked up right and wrong, to be looked at.

Shapes: N items, Q queries, C candidates, D numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from encoders.cope.evaluation import similarities
from encoders.cope.sampling import CopeData

_FOUND = 5


@dataclass(frozen=True)
class Example:
    """An item and what is nearest to it in another domain.

    Attributes:
        direction: such as ``video>page``.
        query: row of the item.
        found: rows of the nearest, nearest first.
        is_right: of each, whether it is of the query's SPU.
    """

    direction: str
    query: int
    found: Sequence[int]
    is_right: Sequence[bool]


def examples(
    emb_ND: torch.Tensor,
    data: CopeData,
    competing_N: torch.Tensor,
    asked_N: torch.Tensor,
    domains: Sequence[str],
    *,
    of_each: int,
    seed: int = 0,
) -> list[Example]:
    """Draw, of each direction, queries whose nearest item is right and such where it is wrong.

    Args:
        competing_N: items that can be found.
        asked_N: items that may be queries.
        of_each: right ones, and wrong ones, at most.
    """
    rng = np.random.default_rng(seed)
    has_vector_N = ~emb_ND.isnan().flatten(1).all(dim=1)
    found = []
    for left, left_name in enumerate(domains):
        for right, right_name in enumerate(domains):
            if left == right:
                continue
            candidates = _rows(competing_N & has_vector_N & (data.items.domain_B == right))
            has_match_N = torch.isin(data.spu_N, data.spu_N[candidates])
            queries = _rows(asked_N & has_vector_N & has_match_N & (data.items.domain_B == left))
            ranked = _ranked(emb_ND, data, queries, candidates, f"{left_name}>{right_name}")
            for is_right in (False, True):
                of_kind = [example for example in ranked if example.is_right[0] == is_right]
                drawn = sorted(rng.permutation(len(of_kind))[:of_each].tolist())
                found += [of_kind[place] for place in drawn]
    return found


def _rows(chosen_N: torch.Tensor) -> torch.Tensor:
    return torch.nonzero(chosen_N).squeeze(1)


def _ranked(
    emb_ND: torch.Tensor,
    data: CopeData,
    queries_Q: torch.Tensor,
    candidates_C: torch.Tensor,
    direction: str,
) -> list[Example]:
    if not len(queries_Q):
        return []
    score_QC = similarities(emb_ND[queries_Q], emb_ND[candidates_C])
    nearest_QK = candidates_C[score_QC.topk(min(_FOUND, len(candidates_C)), dim=1).indices]
    is_right_QK = data.spu_N[nearest_QK] == data.spu_N[queries_Q].unsqueeze(1)
    return [
        Example(direction, query, found, is_right)
        for query, found, is_right in zip(
            queries_Q.tolist(), nearest_QK.tolist(), is_right_QK.tolist(), strict=True
        )
    ]
