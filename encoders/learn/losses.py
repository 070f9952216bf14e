"""Losses of LEARN, which draw users to the items that they met next and off those of others.

Dense all-action InfoNCE (PinnerFormer, section 3.3; LEARN, section 3.3): several positions of a
history each predict several positions of the user's target, so one user gives many pairs.

Shapes: B users, T positions, P sampled history positions, Q sampled target positions, L known
items, M = B * Q targets of the batch, D dimension.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

RECENCY_LOW, RECENCY_HIGH = 10.0, 10_000.0
# Finite: a user without any negative would otherwise have a gradient of NaN.
_NEVER = -1e4


@dataclass(frozen=True)
class Positions:
    """Positions sampled from padded sequences.

    Attributes:
        index_BP: which; 0 where there are too few.
        valid_BP: False where a sequence has fewer positions than were asked for.
    """

    index_BP: torch.Tensor
    valid_BP: torch.Tensor

    def to(self, device: torch.device) -> "Positions":
        return Positions(self.index_BP.to(device), self.valid_BP.to(device))

    def of(self, values_BT: torch.Tensor) -> torch.Tensor:
        """Return the values [B, P, ...] at these positions."""
        rows_B1 = torch.arange(len(values_BT), device=values_BT.device)[:, None]
        return values_BT[rows_B1, self.index_BP]


def recency_weights(
    length: int, *, low: float = RECENCY_LOW, high: float = RECENCY_HIGH
) -> torch.Tensor:
    """Return how much each position counts, the newest 1 [N] (LEARN, section 3.3).

    ``w_i = log(low + i (high - low) / (N - 1))``, divided by the largest.
    """
    if length == 1:
        return torch.ones(1)
    steps = torch.arange(length, dtype=torch.float64) / (length - 1)
    weights = torch.log(low + steps * (high - low))
    return (weights / weights.max()).float()


def sampled_positions(
    lengths_B: torch.Tensor, count: int, *, generator: torch.Generator, recency: bool = True
) -> Positions:
    """Sample up to ``count`` different positions of each sequence, by recency weight or evenly."""
    width = int(lengths_B.max())
    weights_BT = torch.zeros(len(lengths_B), width)
    for length in set(lengths_B.tolist()):
        weights = recency_weights(length) if recency else torch.ones(length)
        weights_BT[lengths_B == length, :length] = weights
    # Gumbel top-k is sampling without replacement.
    noise_BT = -torch.log(-torch.log(torch.rand(weights_BT.shape, generator=generator)))
    scores_BT = weights_BT.log() + noise_BT
    best = scores_BT.topk(min(count, width), dim=1)
    valid_BP = best.values.isfinite()
    return Positions(best.indices.where(valid_BP, torch.zeros_like(best.indices)), valid_BP)


def known_targets(items_BQ: torch.Tensor, known_BL: torch.Tensor) -> torch.Tensor:
    """Return which targets of the batch each user knows [B, M], whoever's they are.

    Args:
        items_BQ: item of each target.
        known_BL: items of each user's history and target, padded with -1.
    """
    distinct, where_M = torch.unique(items_BQ.flatten(), return_inverse=True)
    place_BL = torch.searchsorted(distinct, known_BL).clamp(max=len(distinct) - 1)
    found_BL = distinct[place_BL] == known_BL
    # Items outside the batch go to a column of their own, which is cut off.
    place_BL = place_BL.where(found_BL, len(distinct))
    table = torch.zeros(len(known_BL), len(distinct) + 1, dtype=torch.bool, device=items_BQ.device)
    table.scatter_(1, place_BL, True)
    return table[:, where_M]


def dense_all_action_loss(
    users_BPD: torch.Tensor,
    targets_BQD: torch.Tensor,
    *,
    valid: tuple[torch.Tensor, torch.Tensor],
    masked_BM: torch.Tensor,
    temperature: float,
) -> torch.Tensor:
    """Return InfoNCE over all pairs of a user's history positions and target positions, a scalar.

    Negatives of a pair are the other users' targets in the batch.

    Args:
        users_BPD: user vectors at history positions, unit norm.
        targets_BQD: item vectors at target positions, unit norm.
        valid: which history positions [B, P] and which targets [B, Q] are there.
        masked_BM: targets that are no negatives of a user although they are others': what the user
            knows, duplicates of the user's own targets among it.
    """
    valid_BP, valid_BQ = valid
    rows, per_user = targets_BQD.shape[:2]
    logits_BPM = users_BPD @ targets_BQD.flatten(0, 1).T / temperature
    owner_M = torch.arange(rows, device=users_BPD.device).repeat_interleave(per_user)
    own_BM = owner_M[None] == torch.arange(rows, device=users_BPD.device)[:, None]
    excluded_BM = masked_BM | own_BM | ~valid_BQ.flatten()[None]
    negatives_BP = logits_BPM.masked_fill(excluded_BM[:, None], _NEVER).logsumexp(dim=2)
    positives_BPQ = users_BPD @ targets_BQD.transpose(1, 2) / temperature
    loss_BPQ = functional.softplus(negatives_BP[..., None] - positives_BPQ)
    valid_BPQ = valid_BP[:, :, None] & valid_BQ[:, None]
    return (loss_BPQ * valid_BPQ).sum() / valid_BPQ.sum()
