"""Losses of LEARN: which of the candidates a user meets next.

Shapes: B histories, C candidates, P pairs of a history and an item that was met next.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.learn.batches import Batch
from encoders.learn.history import Rows

# Of the candidates, how many the rule's label is spread over.
_RULE_BEST = 100
# A logit that stands for "no candidate of this user".
NEVER = -1e9


def known_candidates(batch: Batch, candidates_C: Rows) -> NDArray[np.bool_]:
    """Return which candidates the user of each history knows [B, C], but for the new targets."""
    found_BC = np.zeros((len(batch.histories), len(candidates_C)), bool)
    rows = np.repeat(np.arange(len(batch.known)), [len(known) for known in batch.known])
    known = np.concatenate(batch.known)
    columns = np.searchsorted(candidates_C, known).clip(max=len(candidates_C) - 1)
    is_candidate = candidates_C[columns] == known
    found_BC[rows[is_candidate], columns[is_candidate]] = True
    new = (batch.of_P[batch.is_new_P], batch.target_P[batch.is_new_P])
    found_BC[new[0], np.searchsorted(candidates_C, new[1])] = False
    return found_BC


def log_inclusion(
    popularity_C: NDArray[np.float64], *, targets: int, drawn_share: float
) -> torch.Tensor:
    """Return the log of the chance that each candidate is in a batch, float32 [C].

    Subtracted from the logits, it takes back that popular items are drawn more often (logQ
    correction, Yi et al., RecSys 2019).

    Args:
        popularity_C: share of all events.
        targets: of the batch.
        drawn_share: candidates drawn evenly, as a share of all items.
    """
    chance_C = -np.expm1(-(targets * popularity_C + drawn_share))
    return torch.from_numpy(np.log(chance_C)).float()


def rule_labels(
    scores_BC: NDArray[np.float32], excluded_BC: NDArray[np.bool_], *, best: int = _RULE_BEST
) -> torch.Tensor:
    """Return the rule's ranking as probabilities, of its best candidates alone [B, C].

    Scores are standardised within the best of a user, since their scale differs between users.
    """
    scores = torch.from_numpy(scores_BC).masked_fill(torch.from_numpy(excluded_BC), -torch.inf)
    top = scores.topk(min(best, scores.shape[1]), dim=1)
    is_there = top.values.isfinite()
    values = top.values.where(is_there, 0.0)
    count_B1 = is_there.sum(dim=1, keepdim=True).clamp(min=1)
    mean_B1 = values.sum(dim=1, keepdim=True) / count_B1
    spread = ((values - mean_B1).square() * is_there).sum(dim=1, keepdim=True) / count_B1
    standard = (values - mean_B1) / spread.sqrt().clamp(min=1e-6)
    share = standard.masked_fill(~is_there, NEVER).softmax(dim=1)
    return torch.zeros_like(scores).scatter_(1, top.indices, share * is_there)


def next_item_loss(
    logits_BC: torch.Tensor,
    label_BC: torch.Tensor,
    *,
    target_P: torch.Tensor,
    of_P: torch.Tensor,
    rule_share: float,
) -> torch.Tensor:
    """Return the cross-entropy with what was met next and with the rule's labels, a scalar.

    Each history counts the same, however many items were met next; one without any learns from the
    rule alone.

    Args:
        logits_BC: excluded candidates at ``NEVER``, but no target.
        label_BC: ``rule_labels``.
        target_P: columns of the candidates.
        rule_share: weight of the rule's labels.
    """
    log_share_BC = logits_BC.log_softmax(dim=1)
    rows = logits_BC.shape[0]
    per_history_B = torch.bincount(of_P, minlength=rows).clamp(min=1)
    next_P = -log_share_BC[of_P, target_P] / per_history_B[of_P]
    ranked_B = -(label_BC * log_share_BC.clamp(min=-50)).sum(dim=1)
    return (1 - rule_share) * next_P.sum() / rows + rule_share * ranked_B.mean()
