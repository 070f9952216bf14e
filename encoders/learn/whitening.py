"""Whitening: the linear map after which all directions of a catalogue's contents weigh the same.

A language model's states are nearly parallel; what tells two products apart lies in directions of
little variance, which a cosine of the raw states does not see.

Shapes: B rows, C content width, K whitened width, N contents.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Whitening:
    """A fitted whitening.

    Attributes:
        mean_C: of the catalogue.
        map_CK: projection on the leading directions, each divided by its standard deviation.
    """

    mean_C: torch.Tensor
    map_CK: torch.Tensor

    def __call__(self, content_BC: torch.Tensor) -> torch.Tensor:
        """Return whitened contents [..., K], most variable direction first."""
        return (content_BC - self.mean_C) @ self.map_CK


def fitted_whitening(content_NC: torch.Tensor, *, max_width: int, ridge: float) -> Whitening:
    """Fit a whitening to a catalogue; see ``fitted_whitenings``."""
    return fitted_whitenings(content_NC, max_width=max_width, ridges=[ridge])[0]


def fitted_whitenings(
    content_NC: torch.Tensor, *, max_width: int, ridges: Sequence[float]
) -> list[Whitening]:
    """Fit whitenings to a catalogue, one a ridge.

    Args:
        content_NC: contents, at least three of them, and not all the same.
        max_width: most directions to keep; fewer are kept where there are few contents.
        ridges: added to each direction's variance, in units of the largest. Without it fewer
            contents than directions end up all equally far from each other.

    Raises:
        ValueError: there is nothing to fit to.
    """
    content = content_NC.double()
    mean_C = content.mean(dim=0)
    _, scale, directions = torch.linalg.svd(content - mean_C, full_matrices=False)
    variance = scale**2 / max(len(content) - 1, 1)
    rank = int((variance > variance.max() * 1e-9).sum()) if len(content) > 2 else 0
    if rank == 0:
        raise ValueError(
            "whitening needs three different contents or more, "
            f"but was given {len(content)} of rank {rank}."
        )
    width = min(max_width, rank)
    # The sign of a direction is arbitrary: fix it, or two machines make two versions of one model.
    kept = directions[:width]
    largest = kept.gather(1, kept.abs().argmax(dim=1, keepdim=True))
    deviations = [(variance[:width] + ridge * variance[0]).sqrt() for ridge in ridges]
    return [
        Whitening(mean_C.float(), (kept * largest.sign() / deviation[:, None]).T.float())
        for deviation in deviations
    ]
