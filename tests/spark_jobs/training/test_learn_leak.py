"""Leaks: what lies after the cut changes neither training nor a figure of other users."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from encoders.learn.history import History
from encoders.learn.judgement import judged
from encoders.learn.training import train
from encoders.settings import LearnConfig
from spark_jobs.training.learn_data import HeldOut, UserSequences, cut_at

pytestmark = pytest.mark.heavy

N_ITEMS, HOUR = 30, 3_600_000_000
CUT = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=8)
CONFIG = LearnConfig(
    dim=8, hidden=8, factors=8, whitened_width=8, epochs=1, batch_size=32, candidates=20
)
Cut = Callable[[UserSequences, datetime], HeldOut]
Figures = dict[str, dict[str, float]]


@pytest.fixture
def contents() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(N_ITEMS, 8)).astype(np.float32)


def _sequences() -> UserSequences:
    """Thirty users who walk along a ring of items, an item an hour, the last four after the cut."""
    walks = [(start + np.arange(12)) % N_ITEMS for start in range(N_ITEMS)]
    return UserSequences(walks, [np.arange(12) * HOUR for _ in walks])


def _planted(sequences: UserSequences) -> UserSequences:
    """The first user goes back along the ring after the cut, four hundred times."""
    items = np.append(sequences.items[0], -np.arange(400) % N_ITEMS)
    times = np.append(sequences.times[0], 12 * HOUR + np.arange(400))
    return UserSequences([items, *sequences.items[1:]], [times, *sequences.times[1:]])


def _leaky(sequences: UserSequences, cut: datetime) -> HeldOut:
    """Cut, but let training and the rules know what comes after it."""
    everything = [History.at(i, t) for i, t in zip(sequences.items, sequences.times, strict=True)]
    return replace(cut_at(sequences, cut), before=everything)


def _of_other_users(
    sequences: UserSequences, contents: NDArray[np.float32], cut: Cut
) -> tuple[Figures, Figures]:
    """Return the figures on the users watched and on the time held out, without the first user."""
    parts = cut(sequences, CUT)
    trained = train(contents, parts.before, CONFIG, watched_from=parts.watched_from, device="cpu")
    metrics = judged(trained, contents, before=parts.before, cases=parts.cases[1:])
    return metrics["watched"], metrics["held_out"]  # type: ignore[return-value]


def test_events_planted_after_the_cut_change_no_figure_of_other_users(
    contents: NDArray[np.float32],
) -> None:
    honest, planted = (
        _of_other_users(sequences, contents, cut_at)
        for sequences in (_sequences(), _planted(_sequences()))
    )

    assert planted == honest
    assert set(honest[1]) >= {"learn", "untrained", "learn_and_rule", "neighbour_blend"}
    assert {its["users_unmasked"] for its in honest[1].values()} == {N_ITEMS - 1}


@pytest.mark.parametrize("name", ["learn", "untrained", "neighbour_blend", "popularity"])
def test_a_cut_that_leaks_would_be_caught(contents: NDArray[np.float32], name: str) -> None:
    honest, planted = (
        _of_other_users(sequences, contents, _leaky)[1][name]
        for sequences in (_sequences(), _planted(_sequences()))
    )

    assert planted != honest


def test_an_event_at_the_moment_of_the_cut_is_not_known() -> None:
    hour = int((CUT - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
    sequences = UserSequences([np.array([1, 2, 3])], [np.array([hour - 1, hour, hour])])

    parts = cut_at(sequences, CUT)

    assert parts.before[0].items.tolist() == [1]
    assert parts.cases[0].targets.tolist() == [2, 3]


def test_users_of_one_event_of_unknown_items_and_of_clocks_ahead_are_no_case() -> None:
    late = int(np.iinfo(np.int64).max)
    items = [np.array([4]), np.array([], np.int64), np.array([5, 6]), np.array([7, 8])]
    times = [np.array([1]), np.array([], np.int64), np.array([late - 1, late]), np.array([1, late])]

    parts = cut_at(UserSequences(items, times), CUT)

    assert [history.items.tolist() for history in parts.before] == [[4], [], [], [7]]
    assert [case.targets.tolist() for case in parts.cases] == [[8]]
    assert list(parts.watched_from) == [0, 0, 0, 0]


def test_where_everything_was_met_at_one_moment_nothing_is_known_before_it() -> None:
    hour = int((CUT - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
    sequences = UserSequences(
        [np.array([1, 2]), np.array([3])], [np.array([hour] * 2), np.array([hour])]
    )

    parts = cut_at(sequences, CUT)

    assert [len(history) for history in parts.before] == [0, 0]
    assert (list(parts.watched_from), list(parts.cases)) == ([0, 0], [])
