"""Batches: what is cut where, and that nobody is lost."""

import numpy as np

from encoders.learn.batches import Window, cut_batches, drawn_cuts, shuffled_batches

WINDOW = Window(max_history=3, max_target=2)


def test_cut_batches_keep_the_newest_of_the_history_and_the_first_of_the_target() -> None:
    sequences = [np.arange(10, 20), np.array([5, 6])]

    (batch,) = cut_batches(sequences, np.array([6, 1]), WINDOW, batch_size=2)

    assert batch.history_BT.tolist() == [[13, 14, 15], [5, 0, 0]]
    assert batch.history_length_B.tolist() == [3, 1]
    assert batch.target_BT.tolist() == [[16, 17], [6, 0]]
    assert batch.target_length_B.tolist() == [2, 1]
    assert batch.known_BL.tolist() == [[13, 14, 15, 16, 17], [5, 6, -1, -1, -1]]


def test_drawn_cuts_leave_an_event_on_both_sides() -> None:
    sequences = [np.arange(size) for size in (2, 3, 9)] * 50

    cuts = drawn_cuts(sequences, np.random.default_rng(0))

    sizes = np.array([len(sequence) for sequence in sequences])
    assert ((cuts >= 1) & (cuts < sizes)).all()
    assert set(cuts[2::3]) == set(range(1, 9))


def test_shuffled_batches_have_every_user_once_and_differ_by_epoch() -> None:
    sequences = [np.array([user, user]) for user in range(40)]

    first, again, second = (
        [b.history_BT[:, 0].tolist() for b in _batches(sequences, epoch)] for epoch in (1, 1, 2)
    )

    assert sorted(user for batch in first for user in batch) == list(range(40))
    assert first == again
    assert first != second


def _batches(sequences: list[np.ndarray], epoch: int) -> list:  # type: ignore[type-arg]
    return list(shuffled_batches(sequences, WINDOW, batch_size=10, seed=(0, epoch)))


def test_shuffled_batches_leave_out_a_lone_user() -> None:
    sequences = [np.array([user, user]) for user in range(11)]

    assert [len(batch.known_BL) for batch in _batches(sequences, 1)] == [10]
