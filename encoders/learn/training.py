"""Training of LEARN's towers on the order in which users met contents.

After LEARN (Jia et al., AAAI 2025, section 3.3). Everything random is drawn from the seed and the
epoch: a training that was killed and resumed ends with the weights of an uninterrupted one.

Shapes: N contents, C content width, K whitened width.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.checkpoint import read_checkpoint, remove_checkpoint, write_checkpoint
from encoders.hardware import choose_hardware
from encoders.learn.batches import History
from encoders.learn.evaluation import compared, tower_ranker
from encoders.learn.rules import rules
from encoders.learn.towers import PreferenceTowers, TowerConfig, fitted_whitening
from encoders.learn.training_run import (
    FIGURE,
    VALIDATION_STREAM,
    Curve,
    TrainingRun,
    best_epoch,
)
from encoders.settings import LearnConfig

__all__ = ["TooFewSequences", "Trained", "train"]

# Of finished epochs and all epochs.
Progress = Callable[[int, int], None]


class TooFewSequences(ValueError):
    """There is nothing to learn from."""


@dataclass(frozen=True)
class Trained:
    """Towers as they were after their best epoch.

    Attributes:
        untrained: as they were before the first one.
        curve: a row an epoch: epoch, ndcg@10, validation_loss, train_loss; epoch 0 is before
            training and has no train_loss.
        watched: on the users watched, the metrics of the best epoch (``learn``), of the towers
            ``untrained``, and of the rules without training, which know what the towers learned
            from and no more.
    """

    towers: PreferenceTowers
    untrained: PreferenceTowers
    curve: Curve
    watched: dict[str, dict[str, float]]

    @property
    def best_epoch(self) -> int:
        return best_epoch(self.curve)


def train(
    content_NC: NDArray[np.float32],
    sequences: Sequence[History],
    sizes: TowerConfig,
    config: LearnConfig,
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
    with _threads(config.threads):
        run = _started(content_NC, sequences, sizes, config=config, device=device)
        identity = _identity(content_NC, sequences, run.towers.config, config)
        _resume(run, checkpoint, identity)
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
    return _trained(run)


def _trained(run: TrainingRun) -> Trained:
    best, untrained = (_towers(run, weights) for weights in (run.best, run.untrained))
    white_NK = run.white_NK.cpu()
    rankers = {
        "learn": tower_ranker(best, white_NK),
        "untrained": tower_ranker(untrained, white_NK),
        **rules(white_NK, run.learners),
    }
    return Trained(best, untrained, run.curve, compared(rankers, run.cases))


def _towers(run: TrainingRun, weights: Mapping[str, torch.Tensor]) -> PreferenceTowers:
    towers = PreferenceTowers(run.towers.config)
    towers.load_state_dict(weights)
    return towers.eval()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _resume(run: TrainingRun, checkpoint: str | None, identity: str) -> None:
    """Go back to the checkpoint, or look once at the untrained towers."""
    saved = read_checkpoint(checkpoint, identity) if checkpoint else None
    if saved is None:
        run.look_at_untrained()
    else:
        run.restore(saved)


def _started(
    content_NC: NDArray[np.float32],
    sequences: Sequence[History],
    sizes: TowerConfig,
    *,
    config: LearnConfig,
    device: str,
) -> TrainingRun:
    learners, watched = _split(sequences, config)
    content = torch.from_numpy(np.ascontiguousarray(content_NC))
    whitening = fitted_whitening(content, max_width=sizes.whitened_width, ridge=config.ridge)
    torch.manual_seed(config.seed)
    towers = PreferenceTowers(replace(sizes, whitened_width=whitening.map_CK.shape[1]))
    towers.use(whitening)
    towers.to(choose_hardware(device, "float32").device)
    white_NK = towers.whitened(content.to(towers.mean_C.device))
    return TrainingRun(towers, white_NK, config, learners=learners, watched=watched)


def _split(
    sequences: Sequence[History], config: LearnConfig
) -> tuple[list[History], list[History]]:
    """Return the sequences to learn from, and those to watch."""
    usable = [np.asarray(s, dtype=np.int64) for s in sequences if len(s) > 1]
    if len(usable) < 4:
        raise TooFewSequences(
            f"LEARN needs four users with two events or more, but only {len(usable)} of "
            f"{len(sequences)} have them. Train later, or on a longer span of time."
        )
    rng = np.random.default_rng((config.seed, VALIDATION_STREAM + 1))
    order = rng.permutation(len(usable))
    watched = max(2, min(config.max_watched, round(config.validation_share * len(usable))))
    return [usable[row] for row in order[watched:]], [usable[row] for row in order[:watched]]


def _identity(
    content_NC: NDArray[np.float32],
    sequences: Sequence[History],
    sizes: TowerConfig,
    config: LearnConfig,
) -> str:
    """Return the hash of all that decides how a training goes, and what its epochs are judged by.

    A checkpoint from before the figure has curves that cannot be gone on with.
    """
    digest = hashlib.sha256(FIGURE.encode())
    digest.update(json.dumps([asdict(sizes), asdict(config)], sort_keys=True).encode())
    digest.update(np.ascontiguousarray(content_NC).tobytes())
    for sequence in sequences:
        digest.update(np.asarray(sequence, dtype=np.int64).tobytes())
        digest.update(b"|")
    return digest.hexdigest()
