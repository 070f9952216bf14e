"""Schedule: how long, how fast and with how much noise are the heads trained?"""

import math
from dataclasses import dataclass

from encoders.cope.model import MISSING_BELOW


@dataclass(frozen=True)
class TrainingConfig:
    """How the heads are trained.

    Attributes:
        held_out: share of SPUs kept for the test.
        split_seed: which SPUs these are. Encoders of one split can be held against each other, so
            it is not ``seed``.
        patience: epochs without a better validation figure before training stops.
        dropout: share of features zeroed in training.
        modality_dropout: share of items that lose one of their two modalities in training.
        missing_below: see ``HeadsConfig``.
    """

    dim: int = 128
    raw_dim: int = 64
    epochs: int = 40
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    temperature: float = 0.1
    label_smoothing: float = 0.0
    cosface: bool = False
    held_out: float = 0.25
    split_seed: int = 0
    patience: int = 8
    dropout: float = 0.1
    modality_dropout: float = 0.1
    missing_below: float = MISSING_BELOW
    seed: int = 0


def warm_up_and_cosine(done: float, warm_up: float = 0.1) -> float:
    """Return the factor on the learning rate when a share ``done`` of training is over."""
    if done < warm_up:
        return (done + 1e-3) / (warm_up + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))
