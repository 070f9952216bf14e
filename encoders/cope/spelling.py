"""Spelling: a block of COPE's vector in which words agree, letter by letter.

Words are seldom there: most photos show none that can be read. What is there only adds to the
vector's dot products, and what is missing takes nothing from them: a number of each domain fills
the norm of items without words. So two items of different domains, one of which has no words,
compare as if there were no block.

Shapes: N items of a fit, B items, W n-grams, K numbers kept, L numbers of a vector without the
block, M domains.
"""

import torch

from encoders.cope.discriminant import principal_directions
from encoders.cope.items import unit

# Beside a dot product of 1 of pictures and text; see docs/results/2026-12-01-cope-quality.md.
WEIGHT = 0.2
_NUMBERS = 32


def numbers(dim: int) -> int:
    """Return K: how many of a vector's numbers are for spelling."""
    return min(_NUMBERS, dim // 4)


def spelling_map(
    words_NW: torch.Tensor, domain_N: torch.Tensor, spus: int, *, dims: int
) -> torch.Tensor:
    """Return the map from n-grams to the directions that items differ in most [W, K].

    An n-gram weighs by how rare it is in the domain where it is most common: what every photo is
    called, or every package says, tells nothing apart.

    Args:
        words_NW: unit norm; zeros without words.
        spus: how many products the items are of.
    """
    there_NW = words_NW != 0
    domains = set(domain_N.tolist())
    shares = [there_NW[domain_N == row].double().mean(dim=0) for row in sorted(domains)]
    share_W = torch.stack(shares).amax(dim=0)
    rarity_W = (1 / (share_W + 1 / max(spus, 1))).log().clamp(min=0)
    weighted_NW = unit(words_NW.double() * rarity_W)
    directions_WK = principal_directions(weighted_NW[weighted_NW.any(dim=1)], dims)
    return rarity_W.unsqueeze(1) * directions_WK


def with_spelling(
    emb_BL: torch.Tensor, spelling_BK: torch.Tensor, domain_B: torch.Tensor, *, domains: int
) -> torch.Tensor:
    """Return vectors of unit norm with the block, and a number a domain, appended [B, L + K + M].

    Args:
        emb_BL: unit norm.
        spelling_BK: unit norm; zeros without words.
    """
    has_none_B1 = ~spelling_BK.any(dim=1, keepdim=True)
    filler_BM = torch.nn.functional.one_hot(domain_B, domains).to(emb_BL) * has_none_B1
    block_BX = WEIGHT**0.5 * torch.cat((spelling_BK, filler_BM), dim=1)
    return unit(torch.cat((emb_BL, block_BX), dim=1))
