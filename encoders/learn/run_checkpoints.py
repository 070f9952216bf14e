"""Checkpoints of LEARN's two runs, beside each other, and the hash that tells trainings apart.

Shapes: N items, C content width.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.checkpoint import Checkpoint, read_checkpoint, remove_checkpoint, write_checkpoint
from encoders.learn.history import History
from encoders.processes import rank, wait
from encoders.settings import LearnConfig


@dataclass(frozen=True)
class RunCheckpoints:
    """Files of the two runs; none where training is not to be resumed.

    All processes read them, and the first writes them.

    Attributes:
        path: of both, but for their ending.
        identity: ``training_identity``.
    """

    path: str | None
    identity: str

    def read(self, run: str) -> Checkpoint | None:
        return read_checkpoint(f"{self.path}.{run}", self.identity) if self.path else None

    def write(
        self, run: str, curve: Sequence[Mapping[str, float]], tensors: Mapping[str, torch.Tensor]
    ) -> None:
        if self.path and rank() == 0:
            state = Checkpoint(self.identity, {"curve": list(curve)}, tensors)
            write_checkpoint(f"{self.path}.{run}", state)

    def remove(self) -> None:
        # A process that has not read them yet would start again, and the others not.
        wait()
        for run in ("watched", "final") if self.path and rank() == 0 else ():
            remove_checkpoint(f"{self.path}.{run}")


def training_identity(
    content_NC: NDArray[np.float32],
    histories: Sequence[History],
    watched_from: Sequence[int],
    config: LearnConfig,
    *,
    figure: str,
) -> str:
    """Return the hash of all that decides how a training goes, and how its epochs are judged."""
    digest = hashlib.sha256(f"{figure} {asdict(config)}".encode())
    digest.update(np.ascontiguousarray(content_NC).tobytes())
    digest.update(np.asarray(watched_from, np.int64).tobytes())
    for history in histories:
        digest.update(history.items.tobytes() + b"|" + history.moments.tobytes() + b"|")
    return digest.hexdigest()
