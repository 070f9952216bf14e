"""Training run: towers, optimizer and the curve of figures, an epoch at a time.

The best epoch is the one that ranks best: nDCG@10 over the whole catalogue, items of the history
ranked last, of users that training does not see. Epoch 0, the untrained towers, competes. The
contrastive loss of the same users stands in the curve for information: it falls while the ranking
gets worse (``docs/results/2026-11-29-learn-early-stopping.md``).

Each watched user is cut once, at an event drawn as training draws it; the targets are the first
``max_target`` events after the cut, of which those in the history do not count. The held-out time
is measured alike. Where users repeat purchases the figure sees the new ones alone.

Everything random is drawn from the seed and the epoch, so nothing but what a checkpoint holds
decides how a run goes on.

Shapes: B users, T positions, N contents, K whitened width, P and Q sampled positions.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

from encoders.checkpoint import Checkpoint, optimizer_tensors, restore_optimizer
from encoders.learn.batches import (
    CutBatch,
    History,
    Window,
    cut_batches,
    cut_in_two,
    drawn_cuts,
    shuffled_batches,
)
from encoders.learn.evaluation import Case, tower_ranker, user_scores
from encoders.learn.losses import dense_all_action_loss, known_targets, sampled_positions
from encoders.learn.towers import PreferenceTowers
from encoders.settings import LearnConfig

# First number of the random streams that are not an epoch's.
VALIDATION_STREAM = 1 << 31
# More than any training has: streams of two seeds never meet.
_EPOCHS = 1_000_003

# Of the users watched: what the best epoch is chosen by.
FIGURE = "ndcg@10"

Curve = list[dict[str, float]]


def best_epoch(curve: Curve) -> int:
    """Return the epoch that ranked best for the users watched; the earliest of equals."""
    return int(max(curve, key=lambda row: row[FIGURE])["epoch"])


class TrainingRun:
    """A training under way."""

    def __init__(
        self,
        towers: PreferenceTowers,
        white_NK: torch.Tensor,
        config: LearnConfig,
        *,
        learners: Sequence[History],
        watched: Sequence[History],
    ) -> None:
        """Start a run.

        Args:
            white_NK: whitened content of each item.
            learners: sequences to learn from, each of two events or more.
            watched: sequences to choose the epoch by, each of two events or more.
        """
        self.towers, self.white_NK, self.config = towers, white_NK, config
        self.learners, self.watched = learners, watched
        self.window = Window(towers.config.max_history, config.max_target)
        self.curve: Curve = []
        self.cuts = drawn_cuts(watched, np.random.default_rng((config.seed, VALIDATION_STREAM)))
        parts = cut_in_two(watched, self.cuts, max_target=config.max_target)
        self.cases = [Case(history, targets) for history, targets in parts]
        self.untrained = self.best = _copied(towers)
        self.optimizer = torch.optim.AdamW(
            towers.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

    def look_at_untrained(self) -> None:
        """Begin the curve with epoch 0."""
        self.curve.append({"epoch": 0, **self._watched_figures()})

    def one_epoch(self, epoch: int) -> None:
        """Go once over the learners, then look at those watched."""
        self.towers.train()
        batches = shuffled_batches(
            self.learners,
            self.window,
            batch_size=self.config.batch_size,
            seed=(self.config.seed, epoch),
        )
        generator = torch.Generator().manual_seed(self.config.seed * _EPOCHS + epoch)
        losses = []
        for step, batch in enumerate(batches):
            for group in self.optimizer.param_groups:
                group["lr"] = self._learning_rate(epoch, step)
            self.optimizer.zero_grad()
            loss = self._loss(batch, generator)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.towers.parameters(), 1.0)
            self.optimizer.step()
            losses.append(loss.item())
        row = {"epoch": epoch, **self._watched_figures()}
        self.curve.append({**row, "train_loss": float(np.mean(losses))})
        if best_epoch(self.curve) == epoch:
            self.best = _copied(self.towers)

    def ranking_quality(self) -> float:
        """Return nDCG@10 of the users watched; 0 where none of them met anything new."""
        self.towers.eval()
        of_users = user_scores(tower_ranker(self.towers, self.white_NK), self.cases)[FIGURE]
        return float(of_users.mean()) if len(of_users) else 0.0

    def validation_loss(self) -> float:
        """Return the loss of the users watched, at the same cuts and positions every time."""
        self.towers.eval()
        generator = torch.Generator().manual_seed(self.config.seed)
        batches = cut_batches(
            self.watched, self.cuts, self.window, batch_size=self.config.batch_size
        )
        with torch.inference_mode():
            losses = [
                (self._loss(batch, generator).item(), len(batch.known_BL)) for batch in batches
            ]
        # A batch of one has no negatives, and so no loss.
        counted = [(loss, users) for loss, users in losses if users > 1]
        return sum(loss * users for loss, users in counted) / sum(users for _, users in counted)

    def has_converged(self) -> bool:
        """Say whether the best epoch is ``patience`` epochs old."""
        return int(self.curve[-1]["epoch"]) - best_epoch(self.curve) >= self.config.patience

    def checkpoint(self, identity: str) -> Checkpoint:
        """Return the state, copied."""
        weights = {f"towers.{name}": value for name, value in _copied(self.towers).items()}
        best = {f"best.{name}": value for name, value in self.best.items()}
        tensors = {**optimizer_tensors(self.optimizer), **weights, **best}
        return Checkpoint(identity, {"curve": self.curve}, tensors)

    def restore(self, saved: Checkpoint) -> None:
        """Go back to a checkpoint."""
        self.curve = list(saved.state["curve"])
        self.towers.load_state_dict(saved.part("towers."))
        self.best = {
            name: value.to(self.white_NK.device) for name, value in saved.part("best.").items()
        }
        restore_optimizer(self.optimizer, saved)

    def _watched_figures(self) -> dict[str, float]:
        return {FIGURE: self.ranking_quality(), "validation_loss": self.validation_loss()}

    def _loss(self, batch: CutBatch, generator: torch.Generator) -> torch.Tensor:
        device, count = self.white_NK.device, self.config.sampled_positions
        seen, next_ = (
            sampled_positions(lengths, count, generator=generator, recency=self.config.recency).to(
                device
            )
            for lengths in (batch.history_length_B, batch.target_length_B)
        )
        history_BT, target_BT = batch.history_BT.to(device), batch.target_BT.to(device)
        items_BQ = next_.of(target_BT).masked_fill(~next_.valid_BP, -2)
        return dense_all_action_loss(
            seen.of(self.towers.sequence(self.white_NK[history_BT])),
            next_.of(self.towers.targets(self.white_NK[target_BT])),
            valid=(seen.valid_BP, next_.valid_BP),
            masked_BM=known_targets(items_BQ, batch.known_BL.to(device)),
            temperature=self.config.temperature,
        )

    def _learning_rate(self, epoch: int, step: int) -> float:
        """Warm up over the first epoch, then fall as a cosine to a tenth."""
        steps = math.ceil(len(self.learners) / self.config.batch_size)
        done = epoch - 1 + step / steps
        share = min(1.0, done / max(1, self.config.epochs))
        warm_up = min(1.0, done + 1 / steps)
        return self.config.learning_rate * warm_up * (0.55 + 0.45 * math.cos(math.pi * share))


def _copied(towers: PreferenceTowers) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in towers.state_dict().items()}
