"""A small world of products in three domains, whose pictures are loud about the wrong thing."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from encoders.cope.items import Features
from encoders.cope.sampling import CopeData
from encoders.protocol import Batch


def world(
    spus: int = 40, items: int = 3, domains: int = 3, seed: int = 0, width: int = 24
) -> CopeData:
    """Return items whose first features tell products apart and whose last ones, louder, do not."""
    rng = np.random.default_rng(seed)
    product = rng.normal(size=(spus, 8))
    rows = [(s, d) for s in range(spus) for d in range(domains) for _ in range(items)]
    spu, domain = np.array(rows).T
    shift = rng.normal(size=(domains, width)) * 2
    image = shift[domain] + rng.normal(size=(len(rows), width)) * ([0.3] * 8 + [2.0] * (width - 8))
    image[:, :8] += product[spu]
    text = rng.normal(size=(len(rows), 10)) * 0.8
    text[:, :4] += product[spu][:, :4]
    text[domain == 1] = np.nan
    features = Features(
        torch.from_numpy(domain), *(torch.from_numpy(x.astype(np.float32)) for x in (image, text))
    )
    return CopeData(features, torch.from_numpy(spu), [f"spu{number:03d}" for number in range(spus)])


@pytest.fixture
def make_world() -> Callable[..., CopeData]:
    return world


@pytest.fixture
def batch() -> Batch:
    rng = np.random.default_rng(0)
    return {
        "domain": ["page", "video", "live", "page", "video", "page"],
        "image_features": [*rng.normal(size=(4, 6)).astype(np.float32), None, None],
        "text_features": [None, *rng.normal(size=(4, 5)).astype(np.float32), None],
    }
