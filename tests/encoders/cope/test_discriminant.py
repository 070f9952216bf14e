import numpy as np
import pytest
import torch
from sklearn.decomposition import TruncatedSVD

from encoders.cope.discriminant import (
    discriminant_directions,
    domain_means,
    principal_directions,
    reducing_basis,
    shrinkage_of,
    within_scatter,
)


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


def test_of_few_spus_the_scatter_counts_less() -> None:
    shares = [shrinkage_of(spus) for spus in (0, 1, 12, 25, 40, 1000)]

    assert shares == [0.9, 0.9, pytest.approx(10 / 12), 0.4, 0.25, 0.25]


def test_discriminant_directions_find_what_tells_spus_apart() -> None:
    rng = np.random.default_rng(3)
    product = rng.normal(size=(60, 2))
    spu = np.repeat(np.arange(60), 4)
    x = np.concatenate([product[spu], 1.2 * rng.normal(size=(240, 6))], axis=1)
    x += 0.1 * rng.normal(size=x.shape)

    found = discriminant_directions(
        *(torch.from_numpy(values) for values in (x, spu, np.tile([0, 1], 120))), 2
    ).numpy()

    share = np.linalg.norm(found[:2], axis=0) / np.linalg.norm(found, axis=0)
    assert (share > 0.95).all()
    principal = principal_directions(torch.from_numpy(x), 2).numpy()
    assert (np.linalg.norm(principal[:2], axis=0) < 0.5).all()


def test_without_a_pair_the_discriminant_directions_are_principal() -> None:
    x = torch.from_numpy(np.random.default_rng(4).normal(size=(9, 4)))

    found = discriminant_directions(x, torch.arange(9), torch.zeros(9, dtype=torch.long), 3)

    torch.testing.assert_close(found, principal_directions(x, 3))


def test_the_reducing_basis_keeps_backbones_apart() -> None:
    x = torch.from_numpy(np.random.default_rng(5).normal(size=(30, 7)))

    basis = reducing_basis(x, [4, 3])

    assert basis.shape == (7, 7)
    assert (basis[:4, 4:] == 0).all()
    assert (basis[4:, :4] == 0).all()
    torch.testing.assert_close(basis.T @ basis, torch.eye(7).double())


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
