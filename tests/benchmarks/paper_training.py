"""LEARN's training as published, for the order of its ablations alone; the product has another.

Dense all-action InfoNCE (Jia et al., AAAI 2025, section 3.3): a sequence is cut at random, up to
ten positions of the history each predict up to ten of the target, against the other users' targets
of the batch. Sequences are the newest 80 items before the cut and the first 40 after it.

Shapes: B users, T positions, P history positions, Q target positions, M = B * Q, N items,
D dimension.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import softplus
from torch.nn.utils.rnn import pad_sequence

from encoders.learn.history import History, Rows
from encoders.learn.transformer_towers import TransformerTowers

HISTORY, TARGET, POSITIONS = 80, 40, 10
BATCH, LEARNING_RATE, WEIGHT_DECAY, TEMPERATURE = 64, 3e-3, 1e-2, 0.05
_RECENCY = (10.0, 10_000.0)
_NEVER = -1e4


@dataclass(frozen=True)
class Cut:
    """Sequences cut in two, padded on the right.

    Attributes:
        history_BT, target_BT: items.
        seen_BP, next_BQ: positions of them that are drawn, -1 where there are too few.
        known_BN: whether each user met each item of the catalogue, before or after the cut.
    """

    history_BT: torch.Tensor
    target_BT: torch.Tensor
    seen_BP: torch.Tensor
    next_BQ: torch.Tensor
    known_BN: torch.Tensor


class PaperTraining:
    """A training under way."""

    def __init__(
        self, towers: TransformerTowers, white_NK: torch.Tensor, *, recency: bool, epochs: int
    ) -> None:
        self.towers, self._white_NK, self._recency, self._epochs = towers, white_NK, recency, epochs
        self._optimizer = torch.optim.AdamW(
            towers.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )

    def one_epoch(self, histories: Sequence[History], epoch: int, *, seed: int) -> float:
        """Go once over the users; return the mean loss.

        Args:
            epoch: from 1.
        """
        rng, losses = np.random.default_rng((seed, epoch)), []
        usable = [history.items for history in histories if len(history) > 1]
        for cut in _cuts(usable, len(self._white_NK), recency=self._recency, rng=rng):
            done = epoch - 1 + len(losses) * BATCH / len(usable)
            for group in self._optimizer.param_groups:
                group["lr"] = LEARNING_RATE * self._share_of_rate(done, len(usable))
            self._optimizer.zero_grad()
            loss = self._loss(cut)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.towers.parameters(), 1.0)
            self._optimizer.step()
            losses.append(loss.item())
        return float(np.mean(losses))

    def _share_of_rate(self, done: float, users: int) -> float:
        """Warm up over the first epoch, then fall as a cosine to a tenth."""
        warm_up = min(1.0, done + BATCH / users)
        return float(warm_up * (0.55 + 0.45 * np.cos(np.pi * min(1.0, done / self._epochs))))

    def _loss(self, cut: Cut) -> torch.Tensor:
        rows_B1 = torch.arange(len(cut.history_BT))[:, None]
        users_BPD = self.towers.sequence(self._white_NK[cut.history_BT])[rows_B1, cut.seen_BP]
        targets_BQD = self._targets(cut.target_BT)[rows_B1, cut.next_BQ]
        items_BQ = cut.target_BT[rows_B1, cut.next_BQ]
        is_seen_BP, is_next_BQ = cut.seen_BP >= 0, cut.next_BQ >= 0
        logits_BPM = users_BPD @ targets_BQD.flatten(0, 1).T / TEMPERATURE
        # What a user met is no negative of it, whoever's target it is; nor is padding.
        excluded_BM = cut.known_BN[:, items_BQ.flatten()] | ~is_next_BQ.flatten()
        negatives_BP = logits_BPM.masked_fill(excluded_BM[:, None], _NEVER).logsumexp(dim=2)
        positives_BPQ = users_BPD @ targets_BQD.transpose(1, 2) / TEMPERATURE
        is_pair_BPQ = is_seen_BP[:, :, None] & is_next_BQ[:, None]
        loss_BPQ = softplus(negatives_BP[..., None] - positives_BPQ)
        return (loss_BPQ * is_pair_BPQ).sum() / is_pair_BPQ.sum()

    def _targets(self, target_BT: torch.Tensor) -> torch.Tensor:
        """Return the vectors of target sequences that training compares with [B, T, D]."""
        white_BTK = self._white_NK[target_BT]
        if self.towers.config.item_tower == "shared_causal":
            return self.towers.sequence(white_BTK)
        return self.towers.items(white_BTK.flatten(0, 1)).view(*target_BT.shape, -1)


def _cuts(
    sequences: Sequence[Rows], n_items: int, *, recency: bool, rng: np.random.Generator
) -> Iterator[Cut]:
    """Yield all sequences once, in batches of about the same length."""
    places = rng.integers(1, [len(items) for items in sequences])
    order = rng.permutation(len(sequences))
    spans = [order[start : start + 8 * BATCH] for start in range(0, len(order), 8 * BATCH)]
    spans = [span[np.argsort(places[span], kind="stable")] for span in spans]
    batches = [span[at : at + BATCH] for span in spans for at in range(0, len(span), BATCH)]
    for number in rng.permutation(len(batches)):
        rows = batches[number]
        pairs = [(sequences[row], int(places[row])) for row in rows]
        histories = [items[max(0, place - HISTORY) : place] for items, place in pairs]
        targets = [items[place : place + TARGET] for items, place in pairs]
        known_BN = torch.zeros(len(rows), n_items, dtype=torch.bool)
        for known_N, *parts in zip(known_BN, histories, targets, strict=True):
            known_N[torch.from_numpy(np.concatenate(parts))] = True
        yield Cut(
            *(_padded(parts) for parts in (histories, targets)),
            *(_drawn(parts, recency, rng) for parts in (histories, targets)),
            known_BN,
        )


def _padded(parts: Sequence[Rows]) -> torch.Tensor:
    return pad_sequence([torch.from_numpy(items) for items in parts], batch_first=True)


def _drawn(parts: Sequence[Rows], recency: bool, rng: np.random.Generator) -> torch.Tensor:
    """Draw up to ``POSITIONS`` different positions of each, by recency weight or evenly."""
    drawn = np.full((len(parts), POSITIONS), -1)
    low, high = _RECENCY
    for row, items in zip(drawn, parts, strict=True):
        share = np.log(low + np.linspace(0, 1, len(items)) * (high - low) * recency)
        count = min(POSITIONS, len(items))
        row[:count] = rng.choice(len(items), count, replace=False, p=share / share.sum())
    return torch.from_numpy(drawn)
