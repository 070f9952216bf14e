"""Batches: what is cut where, and that nobody is lost."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.learn.batches import Batch, drawn_candidates, n_cuts, shuffled_batches
from encoders.learn.history import History

some_histories = st.lists(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1)), max_size=12).map(
        lambda lines: History.at([i for i, _ in lines], np.cumsum([step for _, step in lines]))
    ),
    max_size=6,
)


def _batches(
    histories: Sequence[History],
    *,
    batch_size: int = 10,
    cuts: int = 99,
    max_history: int = 99,
    seed: tuple[int, int] = (0, 1),
) -> list[Batch]:
    return list(
        shuffled_batches(
            histories,
            batch_size=batch_size,
            cuts_per_user=cuts,
            max_history=max_history,
            seed=seed,
        )
    )


def _cuts(batches: Sequence[Batch]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return history and targets of every cut, in order."""
    return [
        (tuple(history.items.tolist()), tuple(batch.target_P[batch.of_P == row].tolist()))
        for batch in batches
        for row, history in enumerate(batch.histories)
    ]


def test_a_history_is_cut_before_every_moment_but_the_first() -> None:
    history = History.at([3, 1, 4, 1, 5, 9], [0, 0, 1, 1, 1, 2])

    cuts = _cuts(_batches([history]))

    assert sorted(cuts) == [((3, 1), (1, 4, 5)), ((3, 1, 4, 1, 5), (9,))]


def test_a_cut_keeps_the_newest_items_and_their_ages() -> None:
    history = History.at([0, 1, 2, 3, 4], [0, 0, 1, 2, 3])

    (batch,) = _batches([history], max_history=3)

    kept = {tuple(h.items.tolist()): h.ages.tolist() for h in batch.histories}
    assert kept == {(0, 1): [0, 0], (0, 1, 2): [1, 1, 0], (1, 2, 3): [2, 1, 0]}


def test_known_are_all_items_of_the_user_before_and_after_the_cut() -> None:
    histories = [History.one_by_one([5, 2, 5, 7]), History.one_by_one([1, 0])]

    (batch,) = _batches(histories, max_history=1)

    known = {
        int(h.items[0]): its.tolist() for h, its in zip(batch.histories, batch.known, strict=True)
    }
    assert known == {5: [2, 5, 7], 2: [2, 5, 7], 1: [0, 1]}


def test_a_large_moment_gives_up_to_32_different_targets() -> None:
    history = History.at([0, *range(1, 101), *range(1, 101)], [0, *[1] * 200])

    (batch,) = _batches([history])

    assert len(set(batch.target_P.tolist())) == len(batch.target_P) == 32
    assert set(batch.target_P.tolist()) <= set(range(1, 101))


@settings(deadline=None, max_examples=30)
@given(some_histories, st.integers(1, 4), st.integers(1, 5))
def test_an_epoch_has_as_many_different_cuts_as_it_counts(
    histories: list[History], cuts: int, batch_size: int
) -> None:
    batches = _batches(histories, cuts=cuts, batch_size=batch_size)

    sizes = [len(batch.histories) for batch in batches]
    assert sum(sizes) == n_cuts(histories, cuts)
    assert all(size == batch_size for size in sizes[:-1])
    for batch in batches:
        assert all(len(history) for history in batch.histories)
        assert np.unique(batch.of_P).tolist() == list(range(len(batch.histories)))
        assert (np.diff(batch.of_P) >= 0).all()


def test_every_user_has_at_most_so_many_cuts_and_those_of_few_moments_have_all() -> None:
    histories = [History.one_by_one([user] * size) for user, size in enumerate((2, 3, 9, 1, 0))]

    batches = _batches(histories, cuts=4)

    users = [int(history.items[0]) for batch in batches for history in batch.histories]
    assert np.bincount(users, minlength=5).tolist() == [1, 2, 4, 0, 0]
    lengths = sorted(
        len(history) for b in batches for history in b.histories if history.items[0] == 2
    )
    assert len(set(lengths)) == 4


def test_epochs_differ_and_each_can_be_drawn_again() -> None:
    histories = [History.one_by_one([user, 1, 2, 3]) for user in range(20)]

    first, again, second, other_seed = (
        _cuts(_batches(histories, seed=seed)) for seed in ((0, 1), (0, 1), (0, 2), (1, 1))
    )

    assert first == again
    assert sorted(first) == sorted(second) == sorted(other_seed)
    assert first != second != other_seed != first


def test_users_of_one_moment_give_no_batch() -> None:
    histories = [History.at([1, 2], [4, 4]), History.one_by_one([3]), History.one_by_one([])]

    assert _batches(histories) == []
    assert n_cuts(histories, 4) == 0


@pytest.mark.parametrize("count", [0, 1, 500])
def test_candidates_are_the_targets_and_drawn_items_each_once_and_rising(count: int) -> None:
    targets = np.array([7, 3, 7])

    drawn = drawn_candidates(targets, np.arange(50), count, np.random.default_rng(0))

    assert (np.diff(drawn) > 0).all()
    assert {3, 7} <= set(drawn.tolist()) <= set(range(50))
    assert len(drawn) <= 2 + count


def test_candidates_are_drawn_evenly_from_the_items_given() -> None:
    rng = np.random.default_rng(0)
    items, target = np.arange(1, 23, 2), np.array([0])

    drawn = np.concatenate([drawn_candidates(target, items, 3, rng) for _ in range(4000)])

    share = np.bincount(drawn, minlength=23) / 4000
    np.testing.assert_allclose(share[items], 1 - (10 / 11) ** 3, atol=0.03)
    assert share[2::2].sum() == 0
