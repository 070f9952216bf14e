"""Recent popularity on a handful of users."""

import numpy as np

from encoders.learn.baselines.recent_popularity import recent_popularity
from encoders.learn.history import History


def test_what_was_met_of_late_comes_first_and_ties_are_settled_by_all_time() -> None:
    histories = [History.one_by_one(items) for items in ([3, 3, 0], [3, 1], [3, 1], [2])]

    ranker = recent_popularity(histories, [2, 1, 1, 1], 5)

    (scores,) = ranker([History.one_by_one([0])])
    # Of late two users met item 1 and one met item 0; ever, three met 3 and one met 2.
    assert np.argsort(-scores, kind="stable").tolist() == [1, 0, 3, 2, 4]


def test_where_nothing_is_recent_it_is_popularity() -> None:
    histories = [History.one_by_one(items) for items in ([0, 1], [1], [])]

    scores = recent_popularity(histories, [2, 1, 0], 3)([History.one_by_one([2])] * 2)

    assert scores.shape == (2, 3)
    assert np.argsort(-scores, kind="stable").tolist() == [[1, 0, 2]] * 2
