from collections.abc import Callable

import numpy as np
import pytest
import torch

from encoders.cope.choices import FOLDS, _first_unless_beaten, best_choice, spu_centres
from encoders.cope.refinement import Map, Reduced
from encoders.cope.sampling import CopeData, folds_of
from encoders.settings import CopeConfig

pytestmark = pytest.mark.heavy

DOMAINS = ("page", "video", "live")
SMALL = CopeConfig(dim=16, steps=25, batch_size=16)


def _reduced(data: CopeData) -> Reduced:
    items = data.items
    return Reduced(data, *(part.nan_to_num() for part in (items.image_BI, items.text_BT)))


def test_folds_follow_from_the_id_alone_and_are_alike_in_size() -> None:
    spu_ids = [f"spu{number}" for number in range(3000)]

    folds = folds_of(spu_ids, FOLDS)

    assert folds_of(spu_ids[7:9], FOLDS).tolist() == folds[7:9].tolist()
    assert (np.abs(np.bincount(folds.numpy()) - 600) < 80).all()


def test_the_first_stays_unless_another_is_ahead_in_every_fold() -> None:
    often = {"first": [0.5, 0.5, 0.5], "often": [0.9, 0.9, 0.5], "always": [0.6, 0.6, 0.6]}

    assert _first_unless_beaten(often) == "always"
    assert _first_unless_beaten({"first": [0.5], "equal": [0.5]}) == "first"


def test_a_text_that_misleads_is_left_out(make_world: Callable[..., CopeData]) -> None:
    data = make_world(spus=60)
    noise = torch.randn(data.items.text_BT.shape, generator=torch.Generator().manual_seed(0))
    data.items.text_BT[:] = 3 * noise
    data.items.image_BI[:, 8:] *= 0.1

    choice = best_choice(_reduced(data), SMALL, DOMAINS, catalogue="page")

    assert choice.text_weight == 0 or choice.image_weight == 2


def test_one_modality_leaves_no_weights_to_choose(make_world: Callable[..., CopeData]) -> None:
    data = make_world()
    data.items.text_BT[:] = torch.nan

    choice = best_choice(_reduced(data), SMALL, DOMAINS, catalogue="page")

    assert (choice.image_weight, choice.text_weight) == (1.0, 1.0)


def test_pages_alone_are_not_calibrated(make_world: Callable[..., CopeData]) -> None:
    choice = best_choice(_reduced(make_world(domains=1)), SMALL, DOMAINS, catalogue="page")

    assert choice.calibration == 0


def test_centres_are_of_items_that_are_no_pages(make_world: Callable[..., CopeData]) -> None:
    items = _reduced(make_world(spus=4, items=2, domains=2))
    identity = Map(torch.eye(34), torch.zeros(3, 34))

    found = spu_centres(identity, items, (1.0, 1.0), 0).numpy()

    read = np.concatenate([items.image_NP, items.text_NP], axis=1)
    read /= np.linalg.norm(read, axis=1, keepdims=True)
    domain, spu = items.data.items.domain_B.numpy(), items.data.spu_N.numpy()
    expected = np.stack([read[(domain == 1) & (spu == s)].mean(axis=0) for s in range(4)])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)
