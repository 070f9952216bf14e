"""Training of SASRec with sampled softmax, its epochs chosen as those of LEARN are.

Petrov and Macdonald (gSASRec, RecSys 2023) and Klenitskiy and Vasilev (RecSys 2023) show that with
a softmax over many negatives, in place of one negative and a binary loss, SASRec is as good as what
came after it. Candidates are the batch's targets and items drawn evenly, with logQ correction.

On a CPU: it learns from ids alone, and so has to learn for many more epochs than LEARN.

Shapes: B users, T positions, P positions that are not padding, C candidates, N items, D dimension.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from encoders.learn.baselines.sasrec import SasRec, SasRecConfig, sasrec_ranker
from encoders.learn.batches import drawn_candidates
from encoders.learn.evaluation import user_scores
from encoders.learn.history import Case, History, Rows, events_of
from encoders.learn.losses import log_inclusion

_FIGURE = "ndcg@10"
# Users are sorted by length within so many batches: little padding, and batches that still differ.
_SORTED_BATCHES = 8


@dataclass(frozen=True)
class TrainedSasRec:
    """SASRec that learned from all events.

    Attributes:
        curve: nDCG@10 of the users watched, by epoch of the run that is watched, from 1.
    """

    network: SasRec
    curve: Sequence[float]

    @property
    def best_epoch(self) -> int:
        return int(np.argmax(self.curve)) + 1


def trained_sasrec(
    histories: Sequence[History], watched_from: Sequence[int], n_items: int, config: SasRecConfig
) -> TrainedSasRec:
    """Choose the number of epochs on what users met last, then learn from everything.

    Args:
        watched_from: of each user, how many items lie before what is watched.
    """
    learners = [h.until(size) for h, size in zip(histories, watched_from, strict=True)]
    cases = _watched_cases(histories, learners, config)
    with torch.random.fork_rng(devices=[]):
        watched = _Run(learners, n_items, config)
        curve: list[float] = []
        while len(curve) < config.epochs and not _has_converged(curve, config.patience):
            watched.one_epoch(len(curve) + 1)
            of_users = user_scores(sasrec_ranker(watched.network), cases)[_FIGURE]
            curve.append(float(of_users.mean()) if len(of_users) else 0.0)
        final = _Run(histories, n_items, config)
        for epoch in range(1, int(np.argmax(curve)) + 2):
            final.one_epoch(epoch)
    return TrainedSasRec(final.network.eval(), curve)


class _Run:
    """A training under way."""

    def __init__(self, histories: Sequence[History], n_items: int, config: SasRecConfig) -> None:
        torch.manual_seed(config.seed)
        self.network, self._config = SasRec(n_items, config), config
        # One more than are read: the last is a target alone.
        newest = [history.newest(config.max_history + 1).items for history in histories]
        self._sequences = [items for items in newest if len(items) > 1]
        events_N = events_of(histories, n_items)
        self._popularity_N = events_N / max(events_N.sum(), 1)
        self._optimizer = torch.optim.Adam(
            self.network.parameters(), lr=config.learning_rate, betas=(0.9, 0.98)
        )

    def one_epoch(self, epoch: int) -> None:
        rng = np.random.default_rng((self._config.seed, epoch))
        torch.manual_seed(int(rng.integers(1 << 31)))
        self.network.train()
        for batch in _batches(self._sequences, self._config.batch_size, rng):
            self._optimizer.zero_grad()
            self._loss(batch, rng).backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()

    def _loss(self, batch: Sequence[Rows], rng: np.random.Generator) -> torch.Tensor:
        items_BT = pad_sequence([torch.from_numpy(items[:-1]) for items in batch], batch_first=True)
        length_B = torch.tensor([len(items) - 1 for items in batch])
        is_item_BT = torch.arange(items_BT.shape[1]) < length_B[:, None]
        target_P = np.concatenate([items[1:] for items in batch])
        n_items, drawn = len(self._popularity_N), self._config.candidates
        candidates_C = drawn_candidates(target_P, np.arange(n_items), drawn, rng)
        key_CD = self.network.items(torch.from_numpy(candidates_C))
        logits_PC = self.network(items_BT)[is_item_BT] @ key_CD.T - log_inclusion(
            self._popularity_N[candidates_C], targets=len(target_P), drawn_share=drawn / n_items
        )
        place_P = torch.from_numpy(np.searchsorted(candidates_C, target_P))
        return functional.cross_entropy(logits_PC, place_P)


def _batches(
    sequences: Sequence[Rows], batch_size: int, rng: np.random.Generator
) -> Iterator[list[Rows]]:
    """Yield all sequences once, shuffled, in batches of about the same length."""
    order, step = rng.permutation(len(sequences)), batch_size * _SORTED_BATCHES
    spans = [order[start : start + step].tolist() for start in range(0, len(order), step)]
    by_length = [sorted(span, key=lambda row: len(sequences[row])) for span in spans]
    batches = [
        span[start : start + batch_size]
        for span in by_length
        for start in range(0, len(span), batch_size)
    ]
    for number in rng.permutation(len(batches)):
        yield [sequences[row] for row in batches[number]]


def _watched_cases(
    histories: Sequence[History], learners: Sequence[History], config: SasRecConfig
) -> list[Case]:
    both = [
        Case(seen, history.items[len(seen) :])
        for seen, history in zip(learners, histories, strict=True)
        if 0 < len(seen) < len(history)
    ]
    chosen = np.random.default_rng(config.seed).permutation(len(both))[: config.max_watched]
    return [both[row] for row in sorted(chosen.tolist())]


def _has_converged(curve: Sequence[float], patience: int) -> bool:
    return len(curve) > 0 and len(curve) - 1 - int(np.argmax(curve)) >= patience
