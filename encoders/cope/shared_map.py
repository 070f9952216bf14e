"""Shared map: from backbone features to COPE's vector by one linear map for all domains.

After COPE (Bai et al., ICCV 2023, section 3) the vectors of a product's items, whatever their
domain, lie close together. The map is found in closed form and refined by gradients
(``training.py``); it is shared, so that it holds for products and domains without a pair to learn
from, and a domain differs by its centre and a shift alone. A modality that is missing adds nothing.

One number of the vector calibrates. Pages of SPUs that training saw attract the items of those that
it did not, so a page's dot product with other items is lowered by how close it is to trained SPUs
(after the inverted softmax of Smith et al., ICLR 2017).

Where words in pictures are read, a block of the vector is for them (``spelling.py``).

Shapes: B items, N domains, I image features of all backbones, T features of the text backbone,
X = I + T, W n-grams of words, K numbers for them, L learned numbers, D numbers of the vector,
S trained SPUs.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from encoders.cope import spelling
from encoders.cope.items import (
    MISSING_BELOW,
    Features,
    centred,
    is_missing,
    unit,
    without_words,
)

# Of the inverted softmax over SPUs; from .05 to .2 the figures hardly move.
_TEMPERATURE = 0.1
# The calibrating number of items that are no pages, beside a learned part of norm 1.
_REACH = 0.5


@dataclass(frozen=True)
class SharedMapConfig:
    """Sizes and weights of the heads.

    Attributes:
        image_widths: of the backbones, in the order of their features.
        dim: of the vectors, the calibrating number included.
        image_weight: of each backbone's direction, beside ``text_weight``.
        calibration: weight of a page's closeness to trained SPUs; 0 for vectors without a
            calibrating number.
        missing_below: a modality nearer than this to its domain's centre is missing.
        words_width: W, that follow the text features; 0 where words are not read.
        domains: all that can be encoded, in the order of the weights' rows.
        catalogue: the domain of the pages, to which calibration applies.
        trained: the domains that had a pair to learn from.
    """

    image_widths: tuple[int, ...]
    text_width: int
    dim: int = 128
    image_weight: float = 1.0
    text_weight: float = 1.0
    calibration: float = 0.0
    missing_below: float = MISSING_BELOW
    words_width: int = 0
    domains: tuple[str, ...] = ("page", "video", "live")
    catalogue: str = "page"
    trained: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        return sum(self.image_widths) + self.text_width

    @property
    def learned_dim(self) -> int:
        return self.dim - (self.calibration > 0) - self.spelling_dim

    @property
    def spelling_dim(self) -> int:
        """Numbers of the vector that words in pictures take, those of the domains included."""
        return spelling.numbers(self.dim) + len(self.domains) if self.words_width else 0


class SharedMap(nn.Module):
    """The heads; see the module.

    Args:
        spus: S, whose centres calibrate.
    """

    def __init__(self, config: SharedMapConfig, spus: int = 0) -> None:
        super().__init__()
        self.config = config
        n, learned = len(config.domains), config.learned_dim
        self.image_mean_NI: torch.Tensor
        self.text_mean_NT: torch.Tensor
        self.map_XL: torch.Tensor
        self.shift_NL: torch.Tensor
        self.centre_SL: torch.Tensor
        self.register_buffer("image_mean_NI", torch.zeros(n, sum(config.image_widths)))
        self.register_buffer("text_mean_NT", torch.zeros(n, config.text_width))
        self.register_buffer("map_XL", torch.zeros(config.width, learned))
        self.register_buffer("shift_NL", torch.zeros(n, learned))
        self.register_buffer("centre_SL", torch.zeros(spus, learned))
        self.spelling_WK: torch.Tensor
        if config.words_width:
            kept = spelling.numbers(config.dim)
            self.register_buffer("spelling_WK", torch.zeros(config.words_width, kept))

    def centred(self, items: Features) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both modalities as directions from their domain's mean; zeros where missing."""
        return centred(
            self.without_words(items),
            self.image_mean_NI,
            self.text_mean_NT,
            image_widths=self.config.image_widths,
            missing_below=self.config.missing_below,
        )

    def without_words(self, items: Features) -> Features:
        """Return items with the features of the text backbone alone; NaN without a text."""
        return without_words(items, self.config.words_width)

    def words(self, items: Features) -> torch.Tensor:
        """Return the n-grams of titles and words in pictures; zeros without any [B, W]."""
        return items.text_BT[:, self.config.text_width :].nan_to_num()

    def read(self, items: Features) -> torch.Tensor:
        """Return what the map reads: weighted directions; zeros where nothing is there [B, X]."""
        image_BI, text_BT = self.centred(items)
        config = self.config
        return torch.cat((config.image_weight * image_BI, config.text_weight * text_BT), dim=1)

    def forward(self, items: Features) -> torch.Tensor:
        """Return the vectors of items, unit norm [B, D]; NaN where both modalities are missing."""
        read_BX = self.read(items)
        emb_BD = unit(read_BX @ self.map_XL + self.shift_NL[items.domain_B])
        if self.config.calibration:
            emb_BD = self._calibrated(emb_BD, items.domain_B)
        if self.config.words_width:
            emb_BD = self.with_words(emb_BD, items)
        return emb_BD.masked_fill(is_missing(read_BX), torch.nan)

    def with_words(self, emb_BL: torch.Tensor, items: Features) -> torch.Tensor:
        """Return vectors of any width with the block of the items' words."""
        spelling_BK = unit(self.words(items) @ self.spelling_WK)
        return spelling.with_spelling(
            emb_BL, spelling_BK, items.domain_B, domains=len(self.config.domains)
        )

    def _calibrated(self, emb_BL: torch.Tensor, domain_B: torch.Tensor) -> torch.Tensor:
        config = self.config
        is_page_B = domain_B == config.domains.index(config.catalogue)
        return calibrated(emb_BL, is_page_B, self.centre_SL, weight=config.calibration)


def calibrated(
    emb_BL: torch.Tensor, is_page_B: torch.Tensor, centre_SL: torch.Tensor, *, weight: float
) -> torch.Tensor:
    """Return vectors with a number that lowers a page's dot product with items of other domains.

    Args:
        centre_SL: of the trained SPUs' items in other domains, unit norm.
    """
    soft_B = (emb_BL @ centre_SL.T / _TEMPERATURE).logsumexp(dim=1)
    # Of a page that is close to none, 0; Jensen's inequality keeps it from being less by much.
    closeness_B = (_TEMPERATURE * (soft_B - math.log(len(centre_SL)))).clamp(min=0)
    number_B = torch.where(is_page_B, -weight * closeness_B / _REACH, _REACH)
    return unit(torch.cat((emb_BL, number_B.unsqueeze(1)), dim=1))
