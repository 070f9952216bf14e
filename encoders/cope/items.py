"""Items as COPE's heads read them: features of the frozen backbones, as directions by domain.

What nearly all items of a domain have in common (one title for every video, one placeholder for
every missing picture) says nothing of an item, and counts as missing.

Shapes: B items, N domains, F features, I image features of all backbones, T text features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

# How far from its domain's centre a modality of unit norm must lie to say anything of its item.
# Equal contents leave rounding, up to 4e-5 for the title of 5,421 photos; contents that differ lie
# .66 and more from their domain's centre (grocery_store).
MISSING_BELOW = 1e-3


@dataclass(frozen=True)
class Features:
    """Backbone features of items; NaN rows where a modality is missing.

    Attributes:
        domain_B: row of each item's domain.
        image_BI: as the image backbones gave them, one after the other.
        text_BT: as the text backbone gave them; n-grams of words in pictures after them, where
            such are read.
    """

    domain_B: torch.Tensor
    image_BI: torch.Tensor
    text_BT: torch.Tensor

    def __len__(self) -> int:
        return len(self.domain_B)

    def __getitem__(self, rows: torch.Tensor) -> "Features":
        return Features(self.domain_B[rows], self.image_BI[rows], self.text_BT[rows])

    @property
    def present(self) -> torch.Tensor:
        """True where at least one modality is there."""
        return ~(self.image_BI[:, 0].isnan() & self.text_BT[:, 0].isnan())


def without_words(items: Features, words_width: int) -> Features:
    """Return items with the features of the text backbone alone; NaN without a text.

    Args:
        words_width: so many numbers after them are of words in pictures. Where there are such,
            a missing text is zeros.
    """
    if not words_width:
        return items
    text_BT = items.text_BT[:, :-words_width]
    is_missing_B1 = (text_BT == 0).all(dim=1, keepdim=True)
    return replace(items, text_BT=text_BT.masked_fill(is_missing_B1, torch.nan))


def unit(x_BF: torch.Tensor) -> torch.Tensor:
    """Return rows of unit norm; zeros stay zeros."""
    return functional.normalize(x_BF, dim=1)


def centred(
    items: Features,
    image_mean_NI: torch.Tensor,
    text_mean_NT: torch.Tensor,
    *,
    image_widths: Sequence[int],
    missing_below: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both modalities as directions from their domain's mean; zeros where missing.

    Of several image backbones, the part of each has unit norm.

    Args:
        missing_below: unit features nearer than this to the mean are missing.
    """
    widths = [*image_widths, items.text_BT.shape[1]]
    features_BX = torch.cat((items.image_BI, items.text_BT), dim=1)
    means_BX = torch.cat((image_mean_NI, text_mean_NT), dim=1)[items.domain_B]
    parts = [
        _directions(unit(part_BF) - mean_BF, missing_below)
        for part_BF, mean_BF in zip(
            features_BX.split_with_sizes(widths, dim=1),
            means_BX.split_with_sizes(widths, dim=1),
            strict=True,
        )
    ]
    return torch.cat(parts[:-1], dim=1), parts[-1]


def _directions(difference_BF: torch.Tensor, missing_below: float) -> torch.Tensor:
    # Not below: NaN is missing too.
    there_B1 = difference_BF.norm(dim=1, keepdim=True) >= missing_below
    return unit(difference_BF).where(there_B1, 0.0)


def is_missing(directions_BF: torch.Tensor) -> torch.Tensor:
    """Return where there is no direction [B, 1]."""
    return (directions_BF == 0).all(dim=1, keepdim=True)
