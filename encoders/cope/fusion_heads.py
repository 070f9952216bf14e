"""Fusion heads: how encoders of COPE saved before December 2026 turn features into vectors.

A raw part, features centred by domain and reduced by PCA, beside a learned one: image and text maps
that the domains share, with a gain, a placeholder and a low-rank correction a domain. They are read
and no longer trained: ``shared_map.py`` ranks better, see
``docs/results/2026-12-01-cope-quality.md``.

Shapes: B items, N domains, I image features, T text features, R raw part, L learned part, K rank,
D = R + L, X = I + T.
"""

from dataclasses import dataclass

import torch
from torch import nn

from encoders.cope.items import (
    MISSING_BELOW,
    Features,
    centred,
    is_missing,
    unit,
)


@dataclass(frozen=True)
class FusionConfig:
    """Sizes of the heads.

    Attributes:
        raw_dim: how many of the ``dim`` numbers are the raw part.
        rank: of each domain's own correction.
        missing_below: a modality nearer than this to its domain's centre is missing: it says
            nothing of the item. 0 in encoders saved before December 2026, which keep their vectors.
        domains: all that can be encoded, in the order of the weights' rows.
    """

    image_width: int
    text_width: int
    dim: int = 128
    raw_dim: int = 64
    rank: int = 4
    missing_below: float = MISSING_BELOW
    domains: tuple[str, ...] = ("page", "video", "live")

    @property
    def learned_dim(self) -> int:
        return self.dim - self.raw_dim


class FusionHeads(nn.Module):
    """See the module."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        n, learned, rank = len(config.domains), config.learned_dim, config.rank
        self.image_mean_NI: torch.Tensor
        self.text_mean_NT: torch.Tensor
        self.raw_XR: torch.Tensor
        self.share_N: torch.Tensor
        self.register_buffer("image_mean_NI", torch.zeros(n, config.image_width))
        self.register_buffer("text_mean_NT", torch.zeros(n, config.text_width))
        width = config.image_width + config.text_width
        self.register_buffer("raw_XR", torch.zeros(width, config.raw_dim))
        # Share of the squared norm that the learned part has, by domain; 0 until the domain is
        # trained.
        self.register_buffer("share_N", torch.zeros(n))
        self.image_map_IL = nn.Parameter(torch.zeros(config.image_width, learned))
        self.text_map_TL = nn.Parameter(torch.zeros(config.text_width, learned))
        self.no_image_NL = nn.Parameter(torch.zeros(n, learned))
        self.no_text_NL = nn.Parameter(torch.zeros(n, learned))
        self.log_gain_N2 = nn.Parameter(torch.zeros(n, 2))
        self.down_NLK = nn.Parameter(torch.randn(n, learned, rank) / learned**0.5)
        self.up_NKL = nn.Parameter(torch.zeros(n, rank, learned))
        self.shift_NL = nn.Parameter(torch.zeros(n, learned))

    def centred(self, items: Features) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both modalities as directions from their domain's mean; zeros where missing."""
        return centred(
            items,
            self.image_mean_NI,
            self.text_mean_NT,
            image_widths=(self.config.image_width,),
            missing_below=self.config.missing_below,
        )

    def raw(self, image_BI: torch.Tensor, text_BT: torch.Tensor) -> torch.Tensor:
        """Return the raw part of centred features, unit norm [B, R]."""
        return unit(torch.cat((image_BI, text_BT), dim=1) @ self.raw_XR)

    def learned(
        self, domain_B: torch.Tensor, image_BI: torch.Tensor, text_BT: torch.Tensor
    ) -> torch.Tensor:
        """Return the learned part of centred features, unit norm [B, L]."""
        gain_B2 = self.log_gain_N2.exp()[domain_B]
        no_image_B1, no_text_B1 = is_missing(image_BI), is_missing(text_BT)
        image_BL = gain_B2[:, :1] * unit(image_BI @ self.image_map_IL)
        text_BL = gain_B2[:, 1:] * unit(text_BT @ self.text_map_TL)
        fused_BL = torch.where(no_image_B1, self.no_image_NL[domain_B], image_BL)
        fused_BL = fused_BL + torch.where(no_text_B1, self.no_text_NL[domain_B], text_BL)
        low_B1K = fused_BL.unsqueeze(1) @ self.down_NLK[domain_B]
        correction_BL = (low_B1K @ self.up_NKL[domain_B]).squeeze(1)
        return unit(fused_BL + correction_BL + self.shift_NL[domain_B])

    def forward(self, items: Features) -> torch.Tensor:
        """Return the vectors of items, unit norm [B, D]; NaN where both modalities are missing."""
        image_BI, text_BT = self.centred(items)
        missing_B1 = is_missing(image_BI) & is_missing(text_BT)
        share_B1 = self.share_N[items.domain_B].unsqueeze(1)
        raw_BR = (1 - share_B1).sqrt() * self.raw(image_BI, text_BT)
        learned_BL = share_B1.sqrt() * self.learned(items.domain_B, image_BI, text_BT)
        emb_BD = unit(torch.cat((raw_BR, learned_BL), dim=1))
        return emb_BD.masked_fill(missing_B1, torch.nan)
