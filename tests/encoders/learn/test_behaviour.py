"""Behaviour: factors of what users met, and how an encoder version holds them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.artifacts import Artifact, save_artifact
from encoders.learn.behaviour import (
    Behaviour,
    Factors,
    behaviour,
    behaviour_width,
    is_behaviour,
    read_behaviour,
)
from encoders.learn.history import History
from encoders.learn.transitions import transitions

FACTORS = 4


def _behaviour(histories: list[History], n_items: int, *, factors: int = FACTORS) -> Factors:
    return behaviour(histories, transitions(histories, n_items), factors=factors)[0]


def _walks(items: list[int], users: int, *, seed: int = 0) -> list[History]:
    rng = np.random.default_rng(seed)
    return [History.one_by_one(rng.choice(items, rng.integers(1, 8))) for _ in range(users)]


def _sides(numbers: Factors) -> tuple[Factors, Factors]:
    factors = numbers.shape[1] // 2
    return numbers[:, :factors], numbers[:, factors:-1]


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=6),
    st.integers(1, 12),
)
def test_factors_of_a_side_have_unit_norm_or_are_zeros(
    sequences: list[list[int]], factors: int
) -> None:
    histories = [History.one_by_one(items) for items in sequences]

    numbers = _behaviour(histories, 12, factors=factors)

    assert numbers.shape == (12, behaviour_width(factors))
    assert numbers.dtype == np.float32
    for side in _sides(numbers):
        norms = np.linalg.norm(side, axis=1)
        np.testing.assert_allclose(norms[norms > 0], 1, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(0, 19), max_size=6), max_size=8), st.integers(1, 30))
def test_items_without_an_event_are_all_zeros(sequences: list[list[int]], factors: int) -> None:
    histories = [History.one_by_one(items) for items in sequences]

    numbers = _behaviour(histories, 20, factors=factors)

    met = {item for items in sequences for item in items}
    assert np.flatnonzero(numbers.any(axis=1)).tolist() == sorted(met)


def test_the_first_items_of_a_catalogue_are_zeros_too_where_nobody_met_them() -> None:
    # The decomposition leaves rounding in the first rows, which unit norm would blow up.
    numbers = _behaviour(_walks(list(range(200, 300)), 500), 300, factors=64)

    assert not numbers[:200].any()


def test_directions_that_the_transitions_do_not_have_are_zeros() -> None:
    numbers = _behaviour([History.one_by_one([3, 5])] * 4, 12, factors=8)

    for side in _sides(numbers):
        assert side[[3, 5], :2].any(axis=1).all()
        assert not side[:, 2:].any()


def test_an_item_met_alone_has_its_events_and_no_factors() -> None:
    histories = [History.one_by_one([0]), History.one_by_one([0]), *_walks([1, 2, 3], 20)]

    numbers = _behaviour(histories, 5)

    assert numbers[0].tolist() == [0] * 2 * FACTORS + [pytest.approx(np.log(3))]


def test_a_small_catalogue_has_fewer_factors_and_zeros_for_the_others() -> None:
    numbers = _behaviour(_walks([0, 1, 2], 30), 3, factors=8)

    for side in _sides(numbers):
        assert side[:, :2].any()
        assert not side[:, 2:].any()


@pytest.mark.parametrize("n_items", [0, 1])
def test_a_catalogue_that_cannot_be_factored_has_events_alone(n_items: int) -> None:
    histories = [History.one_by_one([0, 0])] * n_items

    numbers = _behaviour(histories, n_items)

    assert numbers.shape == (n_items, behaviour_width(FACTORS))
    assert not numbers[:, :-1].any()


def test_the_last_number_is_the_log_of_the_events() -> None:
    numbers = _behaviour([History.one_by_one([0, 1, 0]), History.at([1, 0], [5, 5])], 4)

    np.testing.assert_allclose(numbers[:, -1], np.log1p([3, 2, 0, 0]), rtol=1e-6)


def test_products_of_query_and_key_factors_rank_as_the_transitions_do() -> None:
    """Two rings that nobody leaves: what lies in an item's ring is led to, the rest is not."""
    rng = np.random.default_rng(0)
    histories = [
        History.one_by_one((rng.integers(6) + np.arange(5)) % 6 + 6 * (user % 2))
        for user in range(40)
    ]

    query, key = _sides(_behaviour(histories, 12, factors=6))

    scores = query @ key.T
    is_same_ring = np.equal.outer(np.arange(12) // 6, np.arange(12) // 6)
    assert scores[~is_same_ring] == pytest.approx(0, abs=1e-3)
    assert (scores[np.arange(12), [1, 2, 3, 4, 5, 0, 7, 8, 9, 10, 11, 6]] > 0.5).all()


def test_the_same_histories_have_the_same_factors_to_the_last_bit() -> None:
    histories = _walks(list(range(50)), 80)

    np.testing.assert_array_equal(_behaviour(histories, 60), _behaviour(histories, 60))


def _numbers(rows: int) -> Factors:
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, behaviour_width(FACTORS))).astype(np.float32)


@settings(deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), unique=True
    )
)
def test_behaviour_survives_its_arrays_whatever_the_ids_hold(spu_ids: list[str]) -> None:
    numbers = _numbers(len(spu_ids))

    back = Behaviour.from_arrays(Behaviour(spu_ids, numbers).arrays)

    assert back is not None
    assert list(back.spu_ids) == spu_ids
    np.testing.assert_array_equal(back.numbers, numbers)


def test_arrays_of_weights_hold_no_behaviour() -> None:
    assert Behaviour.from_arrays({"key.linear.weight": np.zeros((2, 2), np.float32)}) is None
    assert not is_behaviour("key.linear.weight")


def test_the_names_of_its_arrays_are_told_from_weights() -> None:
    assert all(is_behaviour(name) for name in Behaviour(["a"], _numbers(1)).arrays)


def test_an_spu_that_nobody_met_has_zeros() -> None:
    numbers = _numbers(2)

    found = Behaviour(["é", "b"], numbers).of(["b", "unknown", "é", "b", ""])

    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[[0, 2, 3]], numbers[[1, 0, 1]])
    assert not found[[1, 4]].any()


def test_of_no_spu_there_is_nothing_to_find() -> None:
    width = behaviour_width(FACTORS)

    assert Behaviour([], _numbers(0)).of(["a", "b"]).tolist() == [[0] * width] * 2
    assert Behaviour(["a"], _numbers(1)).of([]).shape == (0, width)


def test_behaviour_of_met_leaves_out_spus_that_nobody_met() -> None:
    numbers = _numbers(3)
    numbers[1] = 0

    met = Behaviour.of_met(["a", "b", "c"], numbers)

    assert list(met.spu_ids) == ["a", "c"]
    np.testing.assert_array_equal(met.numbers, numbers[[0, 2]])


@pytest.mark.parametrize("spu_ids", [["spu-é", "茶壶", "a"], []], ids=["some", "none"])
def test_behaviour_is_read_back_from_a_saved_version(tmp_path: Path, spu_ids: list[str]) -> None:
    numbers = _numbers(len(spu_ids))
    folder = _saved(Behaviour(spu_ids, numbers), tmp_path)

    back = read_behaviour(f"{folder}/")

    assert back is not None
    assert list(back.spu_ids) == spu_ids
    np.testing.assert_array_equal(back.numbers, numbers)


def test_a_version_without_behaviour_is_read_as_none(tmp_path: Path) -> None:
    assert read_behaviour(_saved(None, tmp_path)) is None


def _saved(known: Behaviour | None, folder: Path) -> str:
    tensors = {"weight": torch.ones(2)}
    for name, array in (known.arrays if known else {}).items():
        tensors[name] = torch.from_numpy(array)
    return save_artifact(Artifact("learn_item", {}, {}, tensors, {}, "a test"), str(folder))
