"""What folding later events in is worth, between two trainings of LEARN.

    pytest tests/benchmarks/test_fold_in.py -m bench

Towers learn from what lies before the moment that training would watch; what users meet between it
and the cut comes in the nights after the training; figures are of what lies after the cut.
"""

import learn_shops
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from result_tables import table

from encoders.learn.evaluation import both_ways, tower_ranker, user_scores
from encoders.learn.folding import with_later_events
from encoders.learn.history import Case, History, events_of
from encoders.learn.rules import Ranker, Rules
from encoders.learn.training import Trained, train
from encoders.learn.whitening import Whitening
from encoders.settings import LearnConfig

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

PAGE = ("fold-in", "Events since a training, folded into LEARN's behaviour")
METRICS = ("recall@10", "ndcg@10", "recall@10_unmasked")
COLUMNS = ["", "R@10", "N@10", "R@10, repeats count", "R@10, 1 to 5 events", "R@10, new items"]
WATCHED_SHARE = 0.15


def test_folding_later_events_in(
    shop: learn_shops.Shop, contents_NC: NDArray[np.float32], sections: list[str]
) -> None:
    both = list(zip(shop.before, shop.watched_from, strict=True))
    earlier = [history.until(size) for history, size in both]
    watched_from = [_earlier_moment(history) for history in earlier]
    trained = train(contents_NC, earlier, LearnConfig(), watched_from=watched_from, device="cpu")
    met_N, met_later_N = (events_of(users, len(contents_NC)) for users in (earlier, shop.before))
    stepped_N = _step(met_later_N) > _step(met_N)
    everything = _folded(trained, shop)
    behaviours = {
        "as of the training": trained.behaviour_NF,
        "folded in, items that reached a step": np.where(
            stepped_N[:, None], everything, trained.behaviour_NF
        ),
        "folded in, all items": everything,
    }
    white_NK = Whitening(trained.towers.mean_C, trained.towers.map_CK)(
        torch.from_numpy(contents_NC)
    )
    rankers: dict[str, Ranker] = {
        name: _ranker(trained, contents_NC, numbers) for name, numbers in behaviours.items()
    }
    rankers["neighbour_blend, as of the training"] = Rules(white_NK, earlier).blends[
        "neighbour_blend"
    ]
    rankers["neighbour_blend, of everything"] = Rules(white_NK, shop.before).blends[
        "neighbour_blend"
    ]

    rows = [[name, *_figures(ranker, shop, met_N)] for name, ranker in rankers.items()]
    sections.append(
        f"## {shop.name}\n\n{int(met_N.sum()):,} events before the training, "
        f"{int((met_later_N - met_N).sum()):,} since; of {len(met_N):,} items, "
        f"{int(stepped_N.sum()):,} reached a step. Seed 0.\n\n{table(COLUMNS, rows)}"
    )
    assert float(rows[1][2]) > float(rows[0][2])


def _earlier_moment(history: History) -> int:
    """Return how many items lie before the latest moments, which training watches."""
    if not len(history):
        return 0
    moments = int(history.moments[-1]) + 1
    first_watched = moments - max(1, round(WATCHED_SHARE * moments))
    return int(np.searchsorted(history.moments, first_watched))


def _step(events_N: NDArray[np.int64]) -> NDArray[np.int64]:
    steps = np.array([0, 1, 2, 4, 8, *(4**k for k in range(2, 20))])
    return steps[np.searchsorted(steps, events_N, side="right") - 1]


def _folded(trained: Trained, shop: learn_shops.Shop) -> NDArray[np.float32]:
    """Return the behaviour with what lies between the training and the cut in it."""
    # Moments since the training are numbered from 0.
    users = [
        (history.items, history.moments - history.moments[size])
        for history, size in zip(shop.before, shop.watched_from, strict=True)
        if size < len(history)
    ]
    return with_later_events(trained.behaviour_NF, trained.basis, users, since=0)


def _ranker(
    trained: Trained, contents_NC: NDArray[np.float32], behaviour_NF: NDArray[np.float32]
) -> Ranker:
    read = (torch.from_numpy(contents_NC), torch.from_numpy(behaviour_NF))
    with torch.inference_mode():
        return tower_ranker(trained.towers, trained.towers.inputs(*read))


def _figures(ranker: Ranker, shop: learn_shops.Shop, met_N: NDArray[np.int64]) -> list[str]:
    by_user = both_ways(ranker, shop.cases)
    means = [float(by_user[metric].mean()) for metric in METRICS]
    for least, most in ((1, 5), (0, 0)):
        is_in_N = (met_N >= least) & (met_N <= most)
        cases = [Case(c.history, c.targets[is_in_N[c.targets]]) for c in shop.cases]
        means.append(float(user_scores(ranker, cases, mask_seen=False)["recall@10"].mean()))
    return [f"{mean:.4f}" for mean in means]
