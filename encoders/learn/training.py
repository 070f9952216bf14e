"""Training: how do LEARN's towers learn from the order in which users met contents?

After LEARN (Jia et al., AAAI 2025, section 3.3). Everything random is drawn from the seed and the
epoch: a training that was killed and resumed ends with the weights of an uninterrupted one.

Shapes: B users, N contents, C content width, K whitened width, P and Q sampled positions.
"""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.hardware import choose_hardware
from encoders.learn.batches import (
    CutBatch,
    History,
    Window,
    cut_batches,
    drawn_cuts,
    shuffled_batches,
)
from encoders.learn.checkpoint import (
    Checkpoint,
    read_checkpoint,
    remove_checkpoint,
    write_checkpoint,
)
from encoders.learn.losses import dense_all_action_loss, known_targets, sampled_positions
from encoders.learn.towers import PreferenceTowers, TowerConfig, fitted_whitening

# Of finished epochs and all epochs.
Progress = Callable[[int, int], None]
# First number of the random streams that are not an epoch's.
_VALIDATION_STREAM = 1 << 31
# More than any training has: streams of two seeds never meet.
_EPOCHS = 1_000_003


class TooFewSequences(ValueError):
    """There is nothing to learn from."""


@dataclass(frozen=True)
class TrainingConfig:
    """How the towers are trained.

    Attributes:
        sampled_positions: of each history and each target.
        max_target: events after the cut that count as target.
        recency: sample positions by recency weight; evenly without.
        ridge: of the whitening, see ``fitted_whitening``.
        validation_share: of users, held out to stop early.
        patience: epochs without a lower validation loss before training stops.
    """

    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    temperature: float = 0.05
    sampled_positions: int = 10
    max_target: int = 40
    recency: bool = True
    ridge: float = 0.03
    validation_share: float = 0.1
    patience: int = 4
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """Towers as they were after their best epoch.

    Attributes:
        curve: a row an epoch: epoch, validation_loss, train_loss; epoch 0 is before training and
            has no train_loss.
    """

    towers: PreferenceTowers
    curve: list[dict[str, float]]

    @property
    def best_epoch(self) -> int:
        return _best_epoch(self.curve)


def train(
    content_NC: NDArray[np.float32],
    sequences: Sequence[History],
    sizes: TowerConfig,
    config: TrainingConfig,
    *,
    checkpoint: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Trained:
    """Train towers on users' sequences, each cut in history and target afresh every epoch.

    Args:
        content_NC: content of each item.
        sequences: items of each user, oldest first. Those of a single event teach nothing.
        sizes: ``whitened_width`` is the most; few contents give fewer directions.
        checkpoint: file, on any fsspec location, to resume from after a kill; removed at the end.
        progress: told of finished epochs and all.

    Raises:
        TooFewSequences: fewer than four users with two events.
    """
    run = _Run.started(content_NC, sequences, sizes, config, device)
    identity = _identity(content_NC, sequences, run.towers.config, config)
    saved = read_checkpoint(checkpoint, identity) if checkpoint else None
    if saved is None:
        run.curve.append({"epoch": 0, "validation_loss": run.validation_loss()})
    else:
        run.restore(saved)
    for epoch in range(len(run.curve), config.epochs + 1):
        if run.has_converged():
            break
        run.one_epoch(epoch)
        if checkpoint:
            write_checkpoint(checkpoint, run.checkpoint(identity))
        if progress:
            progress(epoch, config.epochs)
    if progress:
        progress(config.epochs, config.epochs)
    if checkpoint:
        remove_checkpoint(checkpoint)
    run.towers.load_state_dict(run.best)
    return Trained(run.towers.eval(), run.curve)


def _best_epoch(curve: Sequence[dict[str, float]]) -> int:
    return int(min(curve, key=lambda row: row["validation_loss"])["epoch"])


class _Run:
    """A training under way."""

    def __init__(
        self,
        towers: PreferenceTowers,
        white_NK: torch.Tensor,
        config: TrainingConfig,
        *,
        learners: Sequence[History],
        watched: Sequence[History],
    ) -> None:
        self.towers, self.white_NK, self.config = towers, white_NK, config
        self.learners, self.watched = learners, watched
        self.window = Window(towers.config.max_history, config.max_target)
        self.curve: list[dict[str, float]] = []
        self.best = _copied(towers)
        self.optimizer = torch.optim.AdamW(
            towers.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

    @classmethod
    def started(
        cls,
        content_NC: NDArray[np.float32],
        sequences: Sequence[History],
        sizes: TowerConfig,
        config: TrainingConfig,
        device: str,
    ) -> "_Run":
        learners, watched = _split(sequences, config)
        content = torch.from_numpy(np.ascontiguousarray(content_NC))
        whitening = fitted_whitening(content, max_width=sizes.whitened_width, ridge=config.ridge)
        torch.manual_seed(config.seed)
        towers = PreferenceTowers(replace(sizes, whitened_width=whitening.map_CK.shape[1]))
        towers.use(whitening)
        towers.to(choose_hardware(device, "float32").device)
        white_NK = towers.whitened(content.to(towers.mean_C.device))
        return cls(towers, white_NK, config, learners=learners, watched=watched)

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
        row = {"epoch": epoch, "validation_loss": self.validation_loss()}
        self.curve.append({**row, "train_loss": float(np.mean(losses))})
        if _best_epoch(self.curve) == epoch:
            self.best = _copied(self.towers)

    def validation_loss(self) -> float:
        """Return the loss of the users watched, at the same cuts and positions every time."""
        self.towers.eval()
        cuts = drawn_cuts(
            self.watched, np.random.default_rng((self.config.seed, _VALIDATION_STREAM))
        )
        generator = torch.Generator().manual_seed(self.config.seed)
        batches = cut_batches(self.watched, cuts, self.window, batch_size=self.config.batch_size)
        with torch.inference_mode():
            losses = [
                (self._loss(batch, generator).item(), len(batch.known_BL)) for batch in batches
            ]
        # A batch of one has no negatives, and so no loss.
        counted = [(loss, users) for loss, users in losses if users > 1]
        return sum(loss * users for loss, users in counted) / sum(users for _, users in counted)

    def has_converged(self) -> bool:
        """Say whether the lowest validation loss is ``patience`` epochs old."""
        return int(self.curve[-1]["epoch"]) - _best_epoch(self.curve) >= self.config.patience

    def checkpoint(self, identity: str) -> Checkpoint:
        """Return the state, copied."""
        optimizer = {
            f"optimizer.{number}.{name}": value
            for number, state in self.optimizer.state_dict()["state"].items()
            for name, value in state.items()
        }
        weights = {f"towers.{name}": value for name, value in _copied(self.towers).items()}
        best = {f"best.{name}": value for name, value in self.best.items()}
        tensors = {**optimizer, **weights, **best}
        return Checkpoint(identity, len(self.curve) - 1, self.curve, tensors)

    def restore(self, saved: Checkpoint) -> None:
        """Go back to a checkpoint."""
        parts: dict[str, dict[str, torch.Tensor]] = {"towers": {}, "best": {}, "optimizer": {}}
        for name, value in saved.tensors.items():
            part, rest = name.split(".", 1)
            parts[part][rest] = value
        self.curve = list(saved.curve)
        self.towers.load_state_dict(parts["towers"])
        self.best = {name: value.to(self.white_NK.device) for name, value in parts["best"].items()}
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in parts["optimizer"].items():
            number, key = name.split(".", 1)
            state.setdefault(int(number), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})

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


def _split(
    sequences: Sequence[History], config: TrainingConfig
) -> tuple[list[History], list[History]]:
    """Return the sequences to learn from, and those to watch."""
    usable = [np.asarray(s, dtype=np.int64) for s in sequences if len(s) > 1]
    if len(usable) < 4:
        raise TooFewSequences(
            f"LEARN needs four users with two events or more, but only {len(usable)} of "
            f"{len(sequences)} have them. Train later, or on a longer span of time."
        )
    rng = np.random.default_rng((config.seed, _VALIDATION_STREAM + 1))
    order = rng.permutation(len(usable))
    watched = max(2, round(config.validation_share * len(usable)))
    return [usable[row] for row in order[watched:]], [usable[row] for row in order[:watched]]


def _copied(towers: PreferenceTowers) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in towers.state_dict().items()}


def _identity(
    content_NC: NDArray[np.float32],
    sequences: Sequence[History],
    sizes: TowerConfig,
    config: TrainingConfig,
) -> str:
    """Return the hash of all that decides how a training goes."""
    digest = hashlib.sha256()
    digest.update(json.dumps([asdict(sizes), asdict(config)], sort_keys=True).encode())
    digest.update(np.ascontiguousarray(content_NC).tobytes())
    for sequence in sequences:
        digest.update(np.asarray(sequence, dtype=np.int64).tobytes())
        digest.update(b"|")
    return digest.hexdigest()
