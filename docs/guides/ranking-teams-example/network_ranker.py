"""A network that reads vectors through LEARN's adaptor, and embeds codes.

The adaptor is that of LEARN's online ranker (Jia et al., AAAI 2025, section 3.4): two linear layers
fuse the vectors of user and product under a loss of their own, and the ranker reads what they make
of them beside the vectors themselves.

Shapes: B rows, F features, D numbers of a vector, V levels of codes, H width of a layer.
"""

from dataclasses import dataclass

import numpy as np
import torch
from embedmill_features import Rows, Vectors, prefixes
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

_HIDDEN, _CODE_WIDTH = 64, 8
_EPOCHS, _BATCH, _RATE, _DECAY = 4, 1024, 2e-3, 1e-4
# Weight of the adaptor's own loss beside that of the ranker.
_ADAPTOR_LOSS = 0.5


@dataclass(frozen=True)
class Inputs:
    """What the network reads of each row.

    Attributes:
        features_BF: scaled, without NaN.
        user_BD, spu_BD: LEARN vectors, zeros where there is none; of no width to leave them out.
        codes_BV: numbers of prefixes, 0 where there is none; of no width to leave them out.
    """

    features_BF: Vectors
    user_BD: Vectors
    spu_BD: Vectors
    codes_BV: Rows

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """As tensors, in the order in which the network takes them."""
        floats = (self.features_BF, self.user_BD, self.spu_BD)
        return (
            *(torch.from_numpy(np.ascontiguousarray(each, np.float32)) for each in floats),
            torch.from_numpy(np.ascontiguousarray(self.codes_BV)),
        )


def prefix_rows(codes_NV: Rows, known_NV: Rows) -> Rows:
    """Number the prefixes of semantic ids as rows of a table of each level [N, V].

    Args:
        known_NV: codes that numbers are given to, from 1 on; another prefix is 0.
    """
    columns = []
    for depth in range(1, codes_NV.shape[1] + 1):
        known = np.unique(prefixes(known_NV, depth))
        known = known[known >= 0]
        asked = prefixes(codes_NV, depth)
        place = np.searchsorted(known, asked)
        is_known = (place < len(known)) & (known[np.minimum(place, len(known) - 1)] == asked)
        columns.append(np.where(is_known, place + 1, 0))
    return np.stack(columns, axis=1)


class Adaptor(nn.Module):
    """Two linear layers over the vectors of user and product, and a score of their own."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fuse = nn.Sequential(
            nn.Linear(2 * dim, _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, _HIDDEN)
        )
        self.score = nn.Linear(_HIDDEN, 1)

    def forward(self, both_BD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is fused [B, H], and the score [B]."""
        fused_BH: torch.Tensor = self.fuse(both_BD)
        return fused_BH, self.score(fused_BH)[:, 0]


class Ranker(nn.Module):
    """Own features, vectors behind the adaptor, and embeddings of codes, into one score."""

    def __init__(self, n_features: int, dim: int, n_codes: list[int]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Embedding(count, _CODE_WIDTH, padding_idx=0) for count in n_codes
        )
        self.adaptor = Adaptor(dim) if dim else None
        width = n_features + (2 * dim + _HIDDEN if dim else 0) + (_CODE_WIDTH if n_codes else 0)
        self.score = nn.Sequential(
            *(nn.Linear(width, _HIDDEN), nn.GELU()),
            *(nn.Linear(_HIDDEN, _HIDDEN), nn.GELU()),
            nn.Linear(_HIDDEN, 1),
        )

    def forward(
        self,
        features_BF: torch.Tensor,
        user_BD: torch.Tensor,
        spu_BD: torch.Tensor,
        codes_BV: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the score of each row, and the adaptor's own where there is one [B]."""
        parts, of_adaptor_B = [features_BF], None
        if self.adaptor is not None:
            both_BD = torch.cat([user_BD, spu_BD], dim=1)
            fused_BH, of_adaptor_B = self.adaptor(both_BD)
            parts += [fused_BH, both_BD]
        if len(self.levels):
            of_levels = [level(codes_BV[:, v]) for v, level in enumerate(self.levels)]
            parts.append(torch.stack(of_levels).sum(dim=0))
        return self.score(torch.cat(parts, dim=1))[:, 0], of_adaptor_B


def network(
    train: Inputs, label: NDArray[np.bool_], test: Inputs, seed: int
) -> NDArray[np.float64]:
    """Return scores of the rows of ``test``."""
    torch.manual_seed(seed)
    parts, target_C = train.tensors, torch.from_numpy(label.astype(np.float32))
    model = Ranker(
        train.features_BF.shape[1],
        train.user_BD.shape[1],
        (train.codes_BV.max(axis=0, initial=0) + 1).tolist(),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=_DECAY)
    steps = _EPOCHS * -(-len(label) // _BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(_EPOCHS):
        for rows in torch.randperm(len(label)).split(_BATCH):
            loss = _loss(*model(*(part[rows] for part in parts)), target_C[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.inference_mode():
        scores: NDArray[np.float64] = model(*test.tensors)[0].numpy().astype(np.float64)
    return scores


def _loss(
    score_B: torch.Tensor, of_adaptor_B: torch.Tensor | None, target_B: torch.Tensor
) -> torch.Tensor:
    loss = functional.binary_cross_entropy_with_logits(score_B, target_B)
    if of_adaptor_B is None:
        return loss
    own = functional.binary_cross_entropy_with_logits(of_adaptor_B, target_B)
    return loss + _ADAPTOR_LOSS * own
