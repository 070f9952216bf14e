"""Towers: what their vectors rank by, and how a history adds up."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.learn.history import History
from encoders.learn.towers import TowerConfig, Towers, flat_histories, tower_config
from encoders.learn.whitening import fitted_whitening
from encoders.settings import LearnConfig

CONFIG = TowerConfig(content_width=6, whitened_width=5, factors=3, dim=8, hidden=7, max_history=20)
N_ITEMS = 12

some_histories = st.lists(
    st.lists(st.tuples(st.integers(0, N_ITEMS - 1), st.integers(0, 2)), min_size=1, max_size=9),
    min_size=1,
    max_size=4,
).map(lambda users: [_stepped(lines) for lines in users])


def _stepped(lines: Sequence[tuple[int, int]]) -> History:
    """Return a history of items, each some moments after the one before."""
    items, steps = np.array(lines, np.int64).T
    return History.at(items, np.cumsum(steps))


def _towers(seed: int = 0, *, spread: float = 1.0) -> Towers:
    """Towers whose every weight is random, as after training."""
    torch.manual_seed(seed)
    towers = Towers(CONFIG)
    for weight in towers.parameters():
        torch.nn.init.normal_(weight, std=spread)
    towers.use(fitted_whitening(_content(seed), max_width=5, ridge=0.03))
    return towers.double().eval().requires_grad_(False)


def _content(seed: int) -> torch.Tensor:
    return torch.randn(N_ITEMS, 6, generator=torch.Generator().manual_seed(seed))


def _inputs(towers: Towers, seed: int = 0) -> torch.Tensor:
    """Return inputs of items, of which the first two were never met."""
    rng = np.random.default_rng(seed)
    behaviour = rng.normal(size=(N_ITEMS, CONFIG.behaviour_width))
    behaviour[:, -1] = np.log1p(rng.integers(1, 1000, N_ITEMS))
    behaviour[:2] = 0
    return towers.inputs(_content(seed).double(), torch.from_numpy(behaviour))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.floats(0.05, 4), st.floats(-20, 20), some_histories)
def test_the_cosine_ranks_as_the_faded_sum_by_the_key_plus_popularity_does(
    seed: int, spread: float, events_weight: float, histories: list[History]
) -> None:
    towers = _towers(seed, spread=spread)
    towers.events_weight.fill_(events_weight)
    inputs = _inputs(towers, seed)
    towers.calibrate(inputs)

    cosine = towers.users(inputs, histories) @ towers.items(inputs).T

    key, popularity = towers.keys(inputs)
    score = towers.sums(towers.query(inputs), *flat_histories(histories)) @ key.T + popularity
    # Each user's cosines are the scores times a positive number, and so in the same order.
    for cosine_N, score_N in zip(cosine, score, strict=True):
        factor = (cosine_N @ score_N) / (score_N @ score_N)
        assert factor > 0
        torch.testing.assert_close(cosine_N, factor * score_N, rtol=1e-6, atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.floats(0.05, 4), some_histories)
def test_vectors_have_unit_norm(seed: int, spread: float, histories: list[History]) -> None:
    towers = _towers(seed, spread=spread)
    inputs = _inputs(towers, seed)
    towers.calibrate(inputs)

    users, items = towers.users(inputs, histories), towers.items(inputs)

    assert users.shape == (len(histories), CONFIG.dim)
    assert items.shape == (N_ITEMS, CONFIG.dim)
    for emb in (users, items):
        torch.testing.assert_close(emb.norm(dim=1), torch.ones(len(emb)).double())


def test_the_last_number_makes_up_for_length_and_the_longest_item_lacks_none() -> None:
    towers = _towers()
    towers.events_weight.fill_(20)
    inputs = _inputs(towers)
    towers.calibrate(inputs)

    items, users = towers.items(inputs), towers.users(inputs, [History.one_by_one([1, 2])])

    assert towers.popularity_scale > 1
    assert (items[:, -1] >= 0).all()
    assert items[:, -1].min() < 1e-6
    assert users[0, -1] == 0


def test_an_item_more_extreme_than_the_catalogue_has_unit_norm_too() -> None:
    towers = _towers()
    inputs = _inputs(towers)
    towers.calibrate(inputs[:3])

    extreme = towers.items(inputs * 100)

    torch.testing.assert_close(extreme.norm(dim=1), torch.ones(N_ITEMS).double())


def test_calibration_changes_no_order_when_the_catalogue_grows() -> None:
    towers, histories = _towers(), [History.one_by_one([3, 4])]
    inputs = _inputs(towers)
    towers.calibrate(inputs)
    before = (towers.users(inputs, histories) @ towers.items(inputs).T).argsort()

    towers.calibrate(torch.cat([inputs, inputs * 5]))

    after = (towers.users(inputs, histories) @ towers.items(inputs).T).argsort()
    assert torch.equal(before, after)


@settings(deadline=None, max_examples=30)
@given(some_histories)
def test_sums_equal_plain_loops(histories: list[History]) -> None:
    towers = _towers()
    query = towers.query(_inputs(towers))

    sums = towers.sums(query, *flat_histories(histories))

    pace = 1 / (1 + np.exp(-towers.fading_E.numpy()))
    for found, history in zip(sums.numpy(), histories, strict=True):
        expected = np.zeros(CONFIG.dim - 2)
        for item, moment in zip(history.items, history.moments, strict=True):
            expected += query[item].numpy() * pace ** (history.moments[-1] - moment)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(some_histories, st.integers(0, N_ITEMS - 1))
def test_an_event_at_a_new_moment_fades_the_sum_and_adds_its_query(
    histories: list[History], item: int
) -> None:
    towers = _towers()
    query = towers.query(_inputs(towers))
    longer = [
        History(np.append(h.items, item), np.append(h.moments, h.moments[-1] + 1))
        for h in histories
    ]

    before, after = (towers.sums(query, *flat_histories(h)) for h in (histories, longer))

    torch.testing.assert_close(after, before * torch.sigmoid(towers.fading_E) + query[item])


@settings(deadline=None, max_examples=30)
@given(some_histories, st.randoms(use_true_random=False))
def test_users_do_not_depend_on_their_batch(histories: list[History], random: Random) -> None:
    towers = _towers()
    inputs = _inputs(towers)
    order = random.sample(range(len(histories)), len(histories))

    together = towers.users(inputs, histories)

    shuffled = towers.users(inputs, [histories[row] for row in order])
    alone = torch.cat([towers.users(inputs, [history]) for history in histories])
    torch.testing.assert_close(shuffled, together[order])
    torch.testing.assert_close(alone, together)


def test_items_do_not_depend_on_their_batch() -> None:
    towers = _towers()
    inputs = _inputs(towers)
    towers.calibrate(inputs)

    alone = torch.cat([towers.items(row[None]) for row in inputs])

    torch.testing.assert_close(alone, towers.items(inputs))


def test_the_order_of_items_at_one_moment_says_nothing() -> None:
    towers = _towers()
    inputs = _inputs(towers)

    one, other = (History.at(items, [0, 0, 1]) for items in ([1, 2, 3], [2, 1, 3]))

    torch.testing.assert_close(*towers.users(inputs, [one, other]))


@pytest.mark.parametrize("pace", [-200.0, 0.0, 200.0])
def test_events_of_long_ago_neither_overflow_nor_spoil_the_gradient(pace: float) -> None:
    towers = _towers().float().requires_grad_(True)
    torch.nn.init.constant_(towers.fading_E, pace)
    old = History(np.array([1, 2, 3]), np.array([0, 1, 100_000]))
    query = torch.randn(N_ITEMS, CONFIG.dim - 2)

    sums = towers.sums(query, *flat_histories([old]))
    sums.sum().backward()  # type: ignore[no-untyped-call]

    assert sums.isfinite().all()
    assert towers.fading_E.grad is not None
    assert towers.fading_E.grad.isfinite().all()


def test_without_behaviour_the_text_of_some_items_is_left_and_others_stay() -> None:
    towers = _towers()
    inputs = _inputs(towers)
    before = inputs.clone()
    where = torch.arange(N_ITEMS) % 3 == 2

    without = towers.without_behaviour(inputs, where)

    assert torch.equal(inputs, before)
    assert not without[where, CONFIG.whitened_width :].any()
    assert torch.equal(without[~where], inputs[~where])
    assert torch.equal(without[:, : CONFIG.whitened_width], inputs[:, : CONFIG.whitened_width])


def test_an_item_that_nobody_met_is_read_as_one_that_lost_its_behaviour() -> None:
    towers = _towers()
    met = torch.ones(N_ITEMS, CONFIG.behaviour_width).double()

    inputs = towers.inputs(_content(0).double(), met)
    lost = towers.without_behaviour(inputs, torch.ones(N_ITEMS, dtype=torch.bool))

    assert torch.equal(lost, towers.inputs(_content(0).double(), torch.zeros_like(met)))


def test_the_factors_of_rare_items_weigh_less() -> None:
    content, behaviour = _content(0)[:4].double(), torch.ones(4, CONFIG.behaviour_width).double()
    behaviour[:, -1] = torch.tensor([0.0, 1.0, 3.0, 1e6]).log1p()
    plain, shrunk = (
        Towers(replace(CONFIG, factor_shrinkage=by)).double().inputs(content, behaviour)
        for by in (0.0, 3.0)
    )

    factors = slice(CONFIG.whitened_width, -1)
    weight = shrunk[:, factors] / plain[:, factors]
    expected = torch.tensor([0, 0.25, 0.5, 1]).double()[:, None].expand_as(weight)
    torch.testing.assert_close(weight, expected, atol=1e-5, rtol=0)
    assert torch.equal(shrunk[:, : factors.start], plain[:, : factors.start])
    assert torch.equal(shrunk[:, -1], plain[:, -1])


def test_inputs_do_not_depend_on_the_scale_of_whitened_content() -> None:
    towers = _towers()
    towers.mean_C.zero_()
    nothing = torch.zeros(N_ITEMS, CONFIG.behaviour_width).double()

    one, other = (towers.inputs(_content(0).double() * size, nothing) for size in (1, 1000))

    torch.testing.assert_close(one, other)


def test_untrained_towers_rank_more_popular_items_first_all_else_equal() -> None:
    torch.manual_seed(0)
    towers = Towers(CONFIG).eval()
    events = torch.zeros(3, CONFIG.behaviour_width)
    events[:, -1] = torch.tensor([0.0, 2.0, 5.0])

    _, popularity = towers.keys(towers.inputs(torch.zeros(3, 6), events))

    assert popularity.argsort().tolist() == [0, 1, 2]


def test_for_a_user_without_history_items_rank_by_their_popularity() -> None:
    towers = _towers(3)
    inputs = _inputs(towers)
    towers.calibrate(inputs)

    vector = towers.no_history().double()

    _, popularity = towers.keys(inputs)
    assert vector.norm() == 1
    assert (towers.items(inputs) @ vector).argsort().tolist() == popularity.argsort().tolist()


def test_flat_histories_give_item_age_and_history_of_every_line() -> None:
    histories = [History.at([4, 5, 6], [1, 1, 9]), History.one_by_one([]), History.one_by_one([7])]

    flat = [part.tolist() for part in flat_histories(histories)]

    assert flat == [[4, 5, 6, 7], [1, 1, 0, 0], [0, 0, 0, 2]]


def test_sizes_come_from_the_settings_and_the_contents() -> None:
    settings = LearnConfig(dim=16, hidden=9, factors=5, max_history=7, factor_shrinkage=2.5)

    config = tower_config(settings, content_width=6, whitened_width=4)

    assert config == TowerConfig(
        6, 4, factors=5, dim=16, hidden=9, max_history=7, factor_shrinkage=2.5
    )
    assert config.behaviour_width == 11


def test_a_dimension_without_room_for_latent_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4, but is 2"):
        replace(CONFIG, dim=2)
