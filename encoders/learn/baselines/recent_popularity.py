"""Recent popularity: what many users have met of late.

Where fashions and seasons pass it is far ahead of popularity over all time (Ji et al., "A Re-visit
of the Popularity Baseline in Recommender Systems", SIGIR 2020, RecentPop).

Shapes: B users, N items.
"""

from collections.abc import Sequence

import numpy as np

from encoders.learn.history import History
from encoders.learn.rules import Ranker, popularity

# Below any count of users: decides between items that are equally popular of late.
_TIE = 0.5


def recent_popularity(
    histories: Sequence[History], recent_from: Sequence[int], n_items: int
) -> Ranker:
    """Rank everybody's items by how many users met them of late, then by how many ever did.

    Args:
        recent_from: of each user, how many items lie before what counts as recent.
    """
    recent = [
        History(history.items[size:], history.moments[size:])
        for history, size in zip(histories, recent_from, strict=True)
    ]
    nobody = [History.one_by_one([])]
    met_N, recent_N = (popularity(of, n_items)(nobody)[0] for of in (histories, recent))
    scores_N = (recent_N + _TIE * met_N / max(met_N.max(initial=0), 1)).astype(np.float32)
    return lambda users: np.broadcast_to(scores_N, (len(users), n_items))
