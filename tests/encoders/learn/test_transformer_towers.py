"""Transformer towers: versions that hold them were trained, and go on working."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from encoders.learn.history import History
from encoders.learn.transformer_towers import ItemTower, TransformerConfig, TransformerTowers

CONFIG = TransformerConfig(
    content_width=12, whitened_width=8, dim=4, width=8, layers=2, heads=2, max_history=6
)


@pytest.fixture
def trained() -> TransformerTowers:
    """Towers whose every weight is random, as after training."""
    torch.manual_seed(0)
    towers = TransformerTowers(replace(CONFIG, positions=True))
    for weight in towers.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return towers.double().eval()


def _white(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).double()


def test_untrained_towers_compare_the_last_item_as_whitened_content_does() -> None:
    towers, white = TransformerTowers(CONFIG), _white(9, 8).float()
    histories = [History.one_by_one(items) for items in ([0, 1, 2, 3, 4], [5, 6], [7])]

    users = towers.users(white, histories)

    last = white[[4, 6, 7], :4]
    torch.testing.assert_close(users, torch.nn.functional.normalize(last, dim=1))


def test_later_events_do_not_change_an_earlier_position(trained: TransformerTowers) -> None:
    history = _white(2, 6, 8)
    changed = history.clone()
    changed[:, 4:] += 1.0

    before, after = trained.sequence(history), trained.sequence(changed)

    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_earlier_events_change_a_later_position(trained: TransformerTowers) -> None:
    history = _white(1, 6, 8)
    changed = history.clone()
    changed[:, 0] += 1.0

    assert not torch.allclose(trained.sequence(history)[:, 5], trained.sequence(changed)[:, 5])


def test_a_user_is_the_last_position_of_the_newest_events(trained: TransformerTowers) -> None:
    white = _white(9, 8)
    items = [0, 8, 1, 7, 2, 6, 3, 5]

    (user,) = trained.users(white, [History.one_by_one(items)])

    torch.testing.assert_close(user, trained.sequence(white[items[-6:]][None])[0, -1])


def test_users_do_not_depend_on_their_batch(trained: TransformerTowers) -> None:
    white = _white(9, 8)
    histories = [History.one_by_one(items) for items in ([0, 1, 2, 3, 4], [5, 6], [7], [1] * 9)]

    together = trained.users(white, histories)

    alone = torch.cat([trained.users(white, [history]) for history in histories])
    torch.testing.assert_close(alone, together)


def test_vectors_have_unit_norm(trained: TransformerTowers) -> None:
    white = _white(9, 8)

    users = trained.users(white, [History.one_by_one([1, 2]), History.one_by_one([3])])

    for emb, rows in ((users, 2), (trained.items(white), 9)):
        assert emb.shape == (rows, 4)
        torch.testing.assert_close(emb.norm(dim=-1), torch.ones(rows).double())


def test_a_user_of_one_event_is_where_that_item_is(trained: TransformerTowers) -> None:
    white = _white(9, 8)

    torch.testing.assert_close(
        trained.users(white, [History.one_by_one([6])])[0], trained.items(white)[6]
    )


def test_inputs_are_whitened_contents_and_no_behaviour(trained: TransformerTowers) -> None:
    content = np.random.default_rng(0).normal(size=(5, 12))
    trained.mean_C.copy_(torch.arange(12))

    inputs = trained.inputs(torch.from_numpy(content), torch.zeros(5, 0))

    np.testing.assert_allclose(inputs, (content - np.arange(12))[:, :8])
    assert trained.config.behaviour_width == 0


@pytest.mark.parametrize("dim", [4, 10])
def test_content_items_do_not_depend_on_trained_weights(dim: int) -> None:
    towers, white = TransformerTowers(replace(CONFIG, item_tower="content", dim=dim)), _white(3, 8)
    before = towers.items(white)
    torch.nn.init.normal_(towers.head.weight)

    assert before.shape == (3, dim)
    assert torch.equal(before, towers.items(white))


@pytest.mark.parametrize("item_tower", ["shared_causal", "shared_single"])
def test_items_of_shared_towers_are_sequences_of_one(item_tower: ItemTower) -> None:
    torch.manual_seed(0)
    towers, white = TransformerTowers(replace(CONFIG, item_tower=item_tower)), _white(3, 8).float()
    torch.nn.init.normal_(towers.head.weight)

    torch.testing.assert_close(towers.items(white)[1], towers.sequence(white[1][None, None])[0, 0])


def test_impossible_sizes_are_all_named() -> None:
    with pytest.raises(ValueError, match=r"heads.*item_tower.*whitened_width"):
        TransformerConfig(
            content_width=4,
            whitened_width=8,
            width=10,
            heads=4,
            item_tower="d",  # type: ignore[arg-type]
        )
