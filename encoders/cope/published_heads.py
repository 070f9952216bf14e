"""COPE's heads as published: a fusion of its own for each domain, trained by gradients alone.

After Bai et al., ICCV 2023 (section 3): text and pictures each go through a linear map, then side
by side through another one, and come out with unit norm; every domain has its own three. They are
there to be compared with (``[cope] heads = "published"``, and a row of ``embedmill cross-validate
--parts``): ``shared_map.py`` ranks better. Not as published: features are centred by domain, and a
missing modality has a learned placeholder.

Shapes: B items, N domains, I image features of all backbones, T text features, H hidden, D numbers.
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
    without_words,
)


@dataclass(frozen=True)
class PublishedConfig:
    """Sizes of the heads.

    Attributes:
        image_widths: of the backbones, in the order of their features.
        hidden: numbers that each modality has before they are fused.
        missing_below: a modality nearer than this to its domain's centre is missing.
        words_width: of the text features, the last so many are of words in pictures: not read.
        domains: all that can be encoded, in the order of the weights' rows.
        trained: the domains that had a pair to learn from.
    """

    image_widths: tuple[int, ...]
    text_width: int
    dim: int = 128
    hidden: int = 256
    missing_below: float = MISSING_BELOW
    words_width: int = 0
    domains: tuple[str, ...] = ("page", "video", "live")
    trained: tuple[str, ...] = ()


class PublishedHeads(nn.Module):
    """The heads; see the module."""

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        self.config = config
        n, hidden = len(config.domains), config.hidden
        image_width = sum(config.image_widths)
        self.image_mean_NI: torch.Tensor
        self.text_mean_NT: torch.Tensor
        self.register_buffer("image_mean_NI", torch.zeros(n, image_width))
        self.register_buffer("text_mean_NT", torch.zeros(n, config.text_width))
        self.images = nn.ModuleList(nn.Linear(image_width, hidden) for _ in range(n))
        self.texts = nn.ModuleList(nn.Linear(config.text_width, hidden) for _ in range(n))
        self.fusions = nn.ModuleList(nn.Linear(2 * hidden, config.dim) for _ in range(n))
        self.no_image_NH = nn.Parameter(torch.zeros(n, hidden))
        self.no_text_NH = nn.Parameter(torch.zeros(n, hidden))

    def centred(self, items: Features) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both modalities as directions from their domain's mean; zeros where missing."""
        return centred(
            without_words(items, self.config.words_width),
            self.image_mean_NI,
            self.text_mean_NT,
            image_widths=self.config.image_widths,
            missing_below=self.config.missing_below,
        )

    def forward(self, items: Features) -> torch.Tensor:
        """Return the vectors of items, unit norm [B, D]; NaN where both modalities are missing."""
        image_BI, text_BT = self.centred(items)
        return self.fused(items.domain_B, image_BI, text_BT)

    def fused(
        self, domain_B: torch.Tensor, image_BI: torch.Tensor, text_BT: torch.Tensor
    ) -> torch.Tensor:
        """Return the vectors of centred features; zeros are missing."""
        no_image_B1, no_text_B1 = is_missing(image_BI), is_missing(text_BT)
        emb_BD = image_BI.new_zeros(len(domain_B), self.config.dim)
        for row in range(len(self.config.domains)):
            at = torch.nonzero(domain_B == row).squeeze(1)
            image_BH = torch.where(
                no_image_B1[at], self.no_image_NH[row], self.images[row](image_BI[at])
            )
            text_BH = torch.where(
                no_text_B1[at], self.no_text_NH[row], self.texts[row](text_BT[at])
            )
            fused_BD = self.fusions[row](torch.cat((image_BH, text_BH), dim=1))
            emb_BD = emb_BD.index_copy(0, at, fused_BD)
        return unit(emb_BD).masked_fill(no_image_B1 & no_text_B1, torch.nan)
