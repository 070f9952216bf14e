from collections.abc import Callable

import numpy as np
import torch
from sklearn.decomposition import TruncatedSVD

from encoders.cope.evaluation import directions, mean_of, raw_vectors
from encoders.cope.initialization import (
    domain_means,
    initialize,
    principal_directions,
    within_scatter,
)
from encoders.cope.model import CopeHeads, HeadsConfig
from encoders.cope.sampling import CopeData


def test_principal_directions_span_what_sklearn_finds() -> None:
    x = np.random.default_rng(0).normal(size=(50, 6)) * [5, 4, 3, 2, 1, 0.5]

    found = principal_directions(torch.from_numpy(x), 3).numpy()

    expected = TruncatedSVD(3, algorithm="arpack").fit(x).components_
    np.testing.assert_allclose(np.abs(expected @ found), np.eye(3), atol=1e-6)


def test_principal_directions_past_the_rank_are_zero() -> None:
    x = torch.tensor([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0]])

    found = principal_directions(x, 5)

    assert found.shape == (3, 5)
    np.testing.assert_allclose(found[:, 0].abs(), [0.5**0.5, 0.5**0.5, 0], atol=1e-6)
    assert (found[:, 1:] == 0).all()


def test_within_scatter_weighs_domains_and_spus_alike() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(7, 3))
    spu, domain = np.array([0, 0, 0, 1, 1, 2, 1]), np.array([0, 0, 1, 0, 2, 0, 0])
    expected = np.zeros((3, 3))
    for s in (0, 1):
        its = [
            x[(spu == s) & (domain == d)] for d in range(3) if ((spu == s) & (domain == d)).any()
        ]
        centre = np.mean([part.mean(axis=0) for part in its], axis=0)
        parts = [(part - centre).T @ (part - centre) / len(part) for part in its]
        expected += np.mean(parts, axis=0) / 2

    found = within_scatter(*(torch.from_numpy(values) for values in (x, spu, domain)))

    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_initial_heads_beat_the_raw_features_on_products_they_have_not_seen(
    make_world: Callable[..., CopeData],
) -> None:
    data = make_world(spus=80)
    seen = data.spu_N < 50
    heads = CopeHeads(HeadsConfig(image_width=24, text_width=10, dim=16, raw_dim=8))

    initialize(heads, data.items[seen], data.spu_N[seen])

    heads.share_N[:] = 0.6
    new = CopeData(data.items[~seen], data.spu_N[~seen], data.spu_ids)
    domains = ("page", "video", "live")
    with torch.no_grad():
        learned = mean_of(directions(heads(new.items), new, domains), "R@1")
    raw = mean_of(directions(raw_vectors(heads, new.items), new, domains), "R@1")
    assert learned > raw + 0.05


def test_initialize_survives_a_catalogue_without_text_and_without_pairs(
    make_world: Callable[..., CopeData],
) -> None:
    data = make_world(spus=5, items=1, domains=1)
    data.items.text_BT[:] = torch.nan
    heads = CopeHeads(HeadsConfig(image_width=24, text_width=10, dim=16, raw_dim=8))

    initialize(heads, data.items, data.spu_N)

    assert all(torch.isfinite(tensor).all() for tensor in heads.state_dict().values())


def test_a_domain_is_centred_on_its_mean() -> None:
    x = torch.from_numpy(np.random.default_rng(2).normal(size=(9, 4)))
    domain = torch.tensor([0] * 5 + [1] * 4)

    found = domain_means(x, domain, torch.zeros(3, 4).double())

    unit = x / x.norm(dim=1, keepdim=True)
    expected = torch.stack([unit[:5].mean(dim=0), unit[5:].mean(dim=0), unit.mean(dim=0)])
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-12)


def test_a_domain_of_one_item_is_centred_on_all_items() -> None:
    x = torch.from_numpy(np.random.default_rng(2).normal(size=(5, 4)))

    found = domain_means(x, torch.tensor([0, 0, 0, 0, 1]), torch.zeros(2, 4).double())

    unit = x / x.norm(dim=1, keepdim=True)
    np.testing.assert_allclose(found[1].numpy(), unit.mean(dim=0).numpy(), atol=1e-12)
    assert (domain_means(x[:1], torch.tensor([0]), torch.zeros(2, 4).double()) == 0).all()


def test_one_outlier_does_not_move_the_centre_of_equal_contents() -> None:
    equal, outlier = torch.tensor([0.6, 0.8, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    x = torch.stack([equal] * 20 + [outlier])

    found = domain_means(x, torch.zeros(21, dtype=torch.long), torch.zeros(1, 3))

    np.testing.assert_allclose(found[0].numpy(), equal.numpy(), atol=1e-6)
