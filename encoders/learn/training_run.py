"""Training run: towers that learn from histories, an epoch at a time.

Everything random is drawn from the seed and the epoch, so nothing but what a checkpoint holds
decides how a run goes on.

Shapes: N items, X width of the towers' input, B cut histories, C candidates, F behaviour's width.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.checkpoint import Checkpoint, optimizer_tensors, restore_optimizer
from encoders.learn.batches import Batch, drawn_candidates, n_cuts, shuffled_batches
from encoders.learn.behaviour import behaviour
from encoders.learn.history import History
from encoders.learn.losses import (
    NEVER,
    known_candidates,
    log_inclusion,
    next_item_loss,
    rule_labels,
)
from encoders.learn.rules import Rules
from encoders.learn.towers import Towers, flat_histories
from encoders.processes import add_up, group_size, rank
from encoders.settings import LearnConfig

# Where more of what is met was met before, towers learn to rank it too, beside what is new.
_USUAL_REPEATS = 0.2
# A small shop has smaller batches, so that an epoch has so many steps, but none under this size.
_LEAST_STEPS, _LEAST_BATCH = 128, 16
# More than any training has: streams of batches and of candidates never meet.
_EPOCHS = 1_000_003


class TrainingRun:
    """A training under way."""

    def __init__(
        self,
        towers: Towers,
        content: torch.Tensor,
        histories: Sequence[History],
        rules: Rules,
        config: LearnConfig,
        *,
        teacher: str,
    ) -> None:
        """Start a run.

        Args:
            content: of each item [N, C].
            histories: to learn from, behaviour included.
            rules: over the same histories.
            teacher: the blend among them whose ranking is learned from too.
        """
        self.towers, self.histories, self.config = towers, histories, config
        self._teacher = rules.blends[teacher]
        self.behaviour_NF, self.basis = behaviour(
            histories, rules.transitions, factors=config.factors, seed=config.seed
        )
        device = towers.mean_C.device
        known = torch.from_numpy(self.behaviour_NF).to(device)
        self.inputs_NX = towers.inputs(content.to(device), known)
        self.repeats_are_usual = repeated_share(histories) > _USUAL_REPEATS
        events_N = np.expm1(self.behaviour_NF[:, -1].astype(np.float64))
        self._met_M = np.flatnonzero(events_N)
        self._popularity_N = events_N / max(events_N.sum(), 1.0)
        cuts = n_cuts(histories, config.histories_per_user)
        self._batch_size = min(config.batch_size, max(_LEAST_BATCH, cuts // _LEAST_STEPS))
        self._steps = math.ceil(cuts / self._batch_size)
        weights = [p for p in towers.parameters() if p.ndim > 1]
        others = [p for p in towers.parameters() if p.ndim <= 1]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": weights, "weight_decay": config.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=config.learning_rate,
        )

    def one_epoch(self, epoch: int) -> float:
        """Go once over the histories; return the mean loss."""
        self.towers.train()
        config, losses, parameters = self.config, [], list(self.towers.parameters())
        batches = shuffled_batches(
            self.histories,
            batch_size=self._batch_size,
            cuts_per_user=config.histories_per_user,
            max_history=config.max_history,
            seed=(config.seed, epoch),
        )
        rng = np.random.default_rng((config.seed, epoch + _EPOCHS))
        for step, batch in enumerate(batches):
            for group in self._optimizer.param_groups:
                group["lr"] = self._learning_rate(epoch, step)
            self._optimizer.zero_grad()
            loss = self._loss(batch, rng)
            if loss.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]
            losses.append(add_up(parameters, loss))
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            self._optimizer.step()
        self.towers.eval()
        self.towers.calibrate(self.inputs_NX)
        return float(np.mean(losses)) if losses else 0.0

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all that the next epoch depends on."""
        weights = {f"towers.{name}": value for name, value in copied(self.towers).items()}
        return {**optimizer_tensors(self._optimizer), **weights}

    def restore(self, saved: Checkpoint) -> None:
        """Go back to a checkpoint of ``tensors``."""
        self.towers.load_state_dict(saved.part("towers."))
        restore_optimizer(self._optimizer, saved)

    def _loss(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        """Return what this process's share of a batch adds to the mean over its histories."""
        n_items, config = len(self.inputs_NX), self.config
        candidates_C = drawn_candidates(batch.target_P, self._met_M, config.candidates, rng)
        dropped_N = torch.from_numpy(rng.random(n_items) < config.behaviour_dropout)
        share = batch.share(rank(), group_size())
        if not share.histories:
            return torch.zeros(())
        logits_BC = self._logits(share, candidates_C, dropped_N) - log_inclusion(
            self._popularity_N[candidates_C],
            targets=len(batch.target_P),
            drawn_share=config.candidates / len(self._met_M),
        ).to(self.inputs_NX.device)
        mean = self._mean_loss(share, candidates_C, logits_BC)
        return mean * (len(share.histories) / len(batch.histories))

    def _mean_loss(
        self, batch: Batch, candidates_C: NDArray[np.int64], logits_BC: torch.Tensor
    ) -> torch.Tensor:
        device, config = self.inputs_NX.device, self.config
        rule_BC = self._teacher.among(batch.histories, candidates_C)
        known_BC = known_candidates(batch, candidates_C)
        target_P = np.searchsorted(candidates_C, batch.target_P)

        def loss(excluded_BC: NDArray[np.bool_], counts_P: NDArray[np.bool_]) -> torch.Tensor:
            return next_item_loss(
                logits_BC.masked_fill(torch.from_numpy(excluded_BC).to(device), NEVER),
                rule_labels(rule_BC, excluded_BC).to(device),
                target_P=torch.from_numpy(target_P[counts_P]).to(device),
                of_P=torch.from_numpy(batch.of_P[counts_P]).to(device),
                rule_share=config.rule_share,
            )

        of_new = loss(known_BC, batch.is_new_P)
        if not self.repeats_are_usual:
            return of_new
        # In one softmax, own items would leave the order of new ones to noise.
        everything = np.ones_like(batch.is_new_P)
        return (of_new + loss(np.zeros_like(known_BC), everything)) / 2

    def _logits(
        self, batch: Batch, candidates_C: NDArray[np.int64], dropped_N: torch.Tensor
    ) -> torch.Tensor:
        """Return the towers' scores of the candidates for every history [B, C].

        Args:
            dropped_N: items that lose their behaviour, on both sides at once.
        """
        items_P, ages_P, of_P = flat_histories(batch.histories)
        read, where_P = torch.unique(items_P, return_inverse=True)
        rows = torch.cat([read, torch.from_numpy(candidates_C)])
        device = self.inputs_NX.device
        inputs = self.towers.without_behaviour(
            self.inputs_NX[rows.to(device)], dropped_N[rows].to(device)
        )
        query = self.towers.query(inputs[: len(read)])
        key_CE, popularity_C = self.towers.keys(inputs[len(read) :])
        pairs = (part.to(device) for part in (where_P, ages_P, of_P))
        scores: torch.Tensor = self.towers.sums(query, *pairs) @ key_CE.T + popularity_C
        return scores

    def _learning_rate(self, epoch: int, step: int) -> float:
        """Warm up over the first tenth, then fall as a cosine to nothing."""
        steps = self._steps * self.config.epochs
        done = (epoch - 1) * self._steps + step + 1
        warm_up = min(1.0, 10 * done / steps)
        return self.config.learning_rate * warm_up * (0.5 + 0.5 * math.cos(math.pi * done / steps))


def repeated_share(histories: Sequence[History]) -> float:
    """Return the share of what is met at later moments that its user had met before.

    An item that is met twice at one moment counts once there.
    """
    repeats = later = 0
    for history in histories:
        if len(history):
            moments, items = np.unique([history.moments, history.items], axis=1)
            firsts = np.unique(items, return_index=True)[1]
            is_later = moments > 0
            later += int(is_later.sum())
            repeats += int(is_later.sum() - is_later[firsts].sum())
    return repeats / later if later else 0.0


def copied(towers: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of the weights."""
    return {name: value.detach().clone() for name, value in towers.state_dict().items()}
