"""Losses of COPE, which draw items of one SPU in two domains together.

Shapes: B pairs, one SPU a row; C candidates; D numbers; S SPUs.
"""

import torch
from torch.nn import functional


def info_nce(
    emb_l_BD: torch.Tensor,
    emb_r_BD: torch.Tensor,
    *,
    temperature: float = 0.1,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Return the symmetric InfoNCE of pairs: row i of one side belongs to row i of the other.

    All other rows are negatives, so a row must be another SPU than every other row. COPE, section
    3.3. Its released code has temperature .05 and label smoothing .1, which pull apart what a start
    has brought together: smoothing is content with a cosine .3 above that of 60 others, and no
    more (docs/results/2026-11-29-cope-defaults.md).

    Args:
        emb_l_BD: unit norm.
        emb_r_BD: unit norm.
    """
    logits_BB = emb_l_BD @ emb_r_BD.T / temperature
    target_B = torch.arange(len(logits_BB), device=logits_BB.device)
    left, right = (
        functional.cross_entropy(logits, target_B, label_smoothing=label_smoothing)
        for logits in (logits_BB, logits_BB.T)
    )
    return (left + right) / 2


def cosface(
    emb_BD: torch.Tensor,
    spu_B: torch.Tensor,
    classes_SD: torch.Tensor,
    *,
    scale: float = 64.0,
    margin: float = 0.4,
) -> torch.Tensor:
    """Return the large-margin cosine loss (Wang et al., CVPR 2018) over SPUs.

    One matrix of classes serves all domains (COPE, section 3.3). It helps closed-set retrieval and
    costs some on new products, so it is an option.

    Args:
        emb_BD: unit norm.
        spu_B: row of each item's SPU in ``classes_SD``.
        classes_SD: any norm.
    """
    cosine_BS = emb_BD @ functional.normalize(classes_SD, dim=1).T
    margins_BS = functional.one_hot(spu_B, len(classes_SD)).to(cosine_BS) * margin
    return functional.cross_entropy(scale * (cosine_BS - margins_BS), spu_B)
