"""Baselines of LEARN on a handful of users, without Spark."""

from datetime import UTC, datetime

import numpy as np
import pytest

from encoders.learn.baselines import ease
from encoders.learn.baselines.sasrec import SasRecConfig
from encoders.learn.history import History
from spark_jobs.evaluation import learn_baselines
from spark_jobs.evaluation.learn_baselines import LearnOptions, fitted_baselines
from spark_jobs.training.learn_data import HeldOut

N_ITEMS = 9


@pytest.fixture
def parts() -> HeldOut:
    """Twenty users who met five items, the last of them lately."""
    rng = np.random.default_rng(0)
    before = [History.one_by_one(rng.integers(0, N_ITEMS, 5)) for _ in range(20)]
    return HeldOut(datetime(2026, 1, 1, tzinfo=UTC), before, [4] * 20, [])


def test_every_baseline_ranks_the_catalogue_and_says_how_it_was_fitted(
    parts: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = SasRecConfig(dim=8, max_history=4, epochs=1)
    monkeypatch.setattr(learn_baselines, "SasRecConfig", lambda: tiny)

    found = fitted_baselines(parts, N_ITEMS, LearnOptions(sasrec=True))

    assert list(found.rankers) == ["recent_popularity", "ease", "sasrec"]
    for ranker in found.rankers.values():
        assert ranker(parts.before[:3]).shape == (3, N_ITEMS)
    assert [note.split()[0] for note in found.notes] == ["ease", "sasrec"]


def test_a_catalogue_too_large_for_ease_is_told_in_one_line(
    parts: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ease, "MOST_ITEMS", N_ITEMS - 1)

    found = fitted_baselines(parts, N_ITEMS)

    assert list(found.rankers) == ["recent_popularity"]
    assert len(found.notes) == 1
    assert "at most 8, but there are 9" in found.notes[0]
