"""Whitening: how content is spread after it, and of what it cannot be fitted."""

import numpy as np
import pytest
import torch

from encoders.learn.whitening import fitted_whitening


def test_whitening_makes_directions_uncorrelated_and_equally_wide() -> None:
    rng = np.random.default_rng(0)
    content = torch.tensor(rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6)) + 5)

    whitening = fitted_whitening(content, max_width=4, ridge=0.0)

    white = whitening(content.float())
    np.testing.assert_allclose(np.cov(white.numpy().T), np.eye(4), atol=1e-3)
    np.testing.assert_allclose(white.mean(dim=0), 0, atol=1e-3)


def test_the_most_variable_direction_comes_first_and_a_ridge_leaves_it_widest() -> None:
    content = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    content *= torch.tensor([0.1, 3.0, 1.0])

    whitening = fitted_whitening(content, max_width=3, ridge=0.1)

    assert whitening.map_CK.abs().argmax(dim=0).tolist() == [1, 2, 0]
    spread = whitening(content).std(dim=0)
    assert spread.tolist() == sorted(spread.tolist(), reverse=True)


def test_directions_have_the_same_sign_in_whatever_order_contents_come() -> None:
    content = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))

    one, other = (fitted_whitening(c, max_width=5, ridge=0.01) for c in (content, content.flip(0)))

    torch.testing.assert_close(one.map_CK, other.map_CK, rtol=1e-4, atol=1e-4)


def test_whitening_is_no_wider_than_the_catalogue_allows() -> None:
    whitening = fitted_whitening(torch.randn(5, 12), max_width=8, ridge=0.01)

    assert whitening.map_CK.shape == (12, 4)


@pytest.mark.parametrize("content", [torch.ones(5, 4), torch.randn(2, 4), torch.zeros(0, 4)])
def test_whitening_refuses_a_catalogue_without_spread(content: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="three different contents"):
        fitted_whitening(content, max_width=4, ridge=0.01)
