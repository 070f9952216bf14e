"""The model that every engine runs: the frozen backbones, as one encoder version."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from encoders.loading import load_encoder
from encoders.protocol import Encoder

BATCH = 32
# What engines that do not sort are given: texts enough for the encoder to find many of one length,
# and few enough to keep every worker busy to the end; pictures gain nothing from it.
UNSORTED_BATCH = {"image_features": 32, "text_features": 1024}
WIDTHS = {"image_features": 1280, "text_features": 384}


@lru_cache(maxsize=1)
def loaded(path: str, threads: int) -> Encoder:
    """Load the encoder once a process, with so many threads of torch."""
    import torch

    torch.set_num_threads(threads)
    return load_encoder(path)


def encode(encoder: Encoder, rows: Sequence[dict], output: str) -> np.ndarray:
    """Encode a batch of rows (domain, title, text, images)."""
    names = ("domain", "title", "text", "images")
    return encoder.encode({name: [row[name] for row in rows] for name in names}).vectors[output]
