"""Ridge of the whitening: chosen by what ranks best, on worlds whose best ridge is known."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from encoders.learn.history import Case, History
from encoders.learn.ridge import chosen_whitening
from encoders.learn.whitening import fitted_whitening
from encoders.settings import LearnConfig

# Items in twenty small groups; users meet items of one group, which texts alone tell.
GROUPS = np.arange(100) // 5
HISTORIES = [History.one_by_one([row, row + 1]) for row in range(0, 100, 5)]
CASES = [Case(h, h.items[:1] + np.arange(2, 5)) for h in HISTORIES]


def _contents(group_scale: float, noise_scale: float) -> torch.Tensor:
    """Return groups in the first half of the directions, noise in the second."""
    rng = np.random.default_rng(0)
    groups = rng.normal(size=(20, 8))[GROUPS] * group_scale
    return torch.from_numpy(np.hstack([groups, rng.normal(size=(100, 8)) * noise_scale])).float()


@pytest.mark.parametrize(
    ("group_scale", "noise_scale", "best"),
    [(1.0, 0.1, 1.0), (0.05, 1.0, 0.0)],
    ids=["small directions are noise", "small directions tell products apart"],
)
def test_the_ridge_that_ranks_best_is_taken(
    group_scale: float, noise_scale: float, best: float
) -> None:
    content_NC = _contents(group_scale, noise_scale)
    config = LearnConfig(ridge=(0.0, 1.0))

    chosen = chosen_whitening(content_NC, [], CASES, config, figure="ndcg@10")

    assert chosen.ridge == best
    assert [row["ridge"] for row in chosen.tried] == [0.0, 1.0]
    assert chosen.tried[int(best)]["ndcg@10"] > chosen.tried[1 - int(best)]["ndcg@10"]
    alone = fitted_whitening(content_NC, max_width=1024, ridge=best)
    torch.testing.assert_close(chosen.whitening.map_CK, alone.map_CK, rtol=0, atol=0)


def test_a_fixed_ridge_ranks_nothing() -> None:
    chosen = chosen_whitening(_contents(1, 1), [], [], LearnConfig(ridge=0.2), figure="ndcg@10")

    assert (chosen.ridge, chosen.tried) == (0.2, [])


def test_where_nobody_is_watched_the_first_ridge_is_taken() -> None:
    config = LearnConfig(ridge="auto")

    chosen = chosen_whitening(_contents(1, 1), HISTORIES, [], config, figure="ndcg@10")

    assert chosen.ridge == config.ridges[0] == LearnConfig().ridge


def test_ridges_are_a_number_several_or_auto() -> None:
    settings = TypeAdapter(LearnConfig)

    given = [settings.validate_python({"ridge": ridge}).ridges for ridge in (0.1, [0.1, 1], "auto")]

    assert given == [(0.1,), (0.1, 1.0), (0.03, 0.01, 0.003, 0.001)]
    for bad in (-1, [], [0.1, -1], "best"):
        with pytest.raises(ValidationError):
            settings.validate_python({"ridge": bad})
