"""Towers: where they start, what each position sees, how content is whitened."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from encoders.learn.towers import PreferenceTowers, TowerConfig, fitted_whitening

CONFIG = TowerConfig(
    content_width=12, whitened_width=8, dim=4, width=8, layers=2, heads=2, max_history=6
)


@pytest.fixture
def trained() -> PreferenceTowers:
    """Towers whose every weight is random, as after training."""
    torch.manual_seed(0)
    towers = PreferenceTowers(replace(CONFIG, positions=True))
    for weight in towers.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return towers.double().eval()


def test_untrained_towers_compare_the_last_item_as_whitened_content_does() -> None:
    towers = PreferenceTowers(CONFIG)
    history = torch.randn(3, 5, 8)

    users = towers.users(history, torch.tensor([5, 2, 1]))

    last = torch.stack([history[0, 4], history[1, 1], history[2, 0]])[:, :4]
    torch.testing.assert_close(users, torch.nn.functional.normalize(last, dim=1))


def test_later_events_do_not_change_an_earlier_position(trained: PreferenceTowers) -> None:
    history = torch.randn(2, 6, 8, dtype=torch.float64)
    changed = history.clone()
    changed[:, 4:] = torch.randn(2, 2, 8, dtype=torch.float64)

    before, after = trained.sequence(history), trained.sequence(changed)

    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_earlier_events_change_a_later_position(trained: PreferenceTowers) -> None:
    history = torch.randn(1, 6, 8, dtype=torch.float64)
    changed = history.clone()
    changed[:, 0] += 1.0

    assert not torch.allclose(trained.sequence(history)[:, 5], trained.sequence(changed)[:, 5])


def test_vectors_have_unit_norm(trained: PreferenceTowers) -> None:
    emb = trained.sequence(torch.randn(2, 6, 8, dtype=torch.float64))

    assert emb.shape == (2, 6, 4)
    torch.testing.assert_close(emb.norm(dim=-1), torch.ones(2, 6, dtype=torch.float64))


@pytest.mark.parametrize("variant", ["shared_single", "content"])
def test_targets_of_single_variants_are_the_items(variant: str) -> None:
    torch.manual_seed(0)
    towers = PreferenceTowers(replace(CONFIG, item_tower=variant))  # type: ignore[arg-type]
    torch.nn.init.normal_(towers.head.weight)
    white = torch.randn(2, 3, 8)

    torch.testing.assert_close(towers.targets(white)[1, 2], towers.items(white[1, 2][None])[0])


def test_targets_of_the_causal_variant_see_those_before(trained: PreferenceTowers) -> None:
    white = torch.randn(1, 3, 8, dtype=torch.float64)

    targets, items = trained.targets(white), trained.items(white[0])

    torch.testing.assert_close(targets[0, 0], items[0])
    assert not torch.allclose(targets[0, 2], items[2])


def test_content_items_do_not_depend_on_trained_weights() -> None:
    towers = PreferenceTowers(replace(CONFIG, item_tower="content"))
    white = torch.randn(3, 8)
    before = towers.items(white)
    torch.nn.init.normal_(towers.head.weight)

    assert torch.equal(before, towers.items(white))


def test_whitening_makes_directions_uncorrelated_and_equally_wide() -> None:
    rng = np.random.default_rng(0)
    content = torch.tensor(rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6)) + 5)

    whitening = fitted_whitening(content, max_width=4, ridge=0.0)

    white = (content.float() - whitening.mean_C) @ whitening.map_CK
    np.testing.assert_allclose(np.cov(white.numpy().T), np.eye(4), atol=1e-3)


def test_whitening_is_no_wider_than_the_catalogue_allows() -> None:
    whitening = fitted_whitening(torch.randn(5, 12), max_width=8, ridge=0.01)

    assert whitening.map_CK.shape == (12, 4)


@pytest.mark.parametrize("content", [torch.ones(5, 4), torch.randn(2, 4), torch.zeros(0, 4)])
def test_whitening_refuses_a_catalogue_without_spread(content: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="three different contents"):
        fitted_whitening(content, max_width=4, ridge=0.01)


def test_impossible_sizes_are_all_named() -> None:
    with pytest.raises(ValueError, match=r"heads.*item_tower.*whitened_width"):
        TowerConfig(content_width=4, whitened_width=8, width=10, heads=4, item_tower="d")  # type: ignore[arg-type]
