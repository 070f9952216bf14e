"""Features that are made of what embedmill serves: vectors, codes and histograms of similarity.

And of its rule: how strongly the products of a history lead to a candidate.

Shapes: C candidates, T nights, N products, D numbers of a vector, V levels of codes, B bins.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from candidates import Candidates
from event_index import EventIndex, Histories
from numpy.typing import NDArray
from purchases import MINUTES_A_DAY, Purchases, Rows

from encoders.learn.transitions import DECAYS, transition_scores, transitions
from encoders.ranking.similarity_histograms import BINS, similarity_histogram

RECENT = 20
# Codes that a prefix starts with, in the number of a prefix.
_CODES = 1 << 20

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Served:
    """What the feature service gave, of each candidate; NaN and -1 where it gave null.

    Attributes:
        user_CD, spu_CD: LEARN vectors.
        cope_CD: COPE vectors, of another width.
        codes_CV: semantic ids.
    """

    user_CD: Vectors
    spu_CD: Vectors
    cope_CD: Vectors
    codes_CV: Rows


def vector_features(served: Served) -> pd.DataFrame:
    """Return the affinity: the service's ``user_spu_affinity``.

    What each number of the vectors adds to it, as 64 columns, gave linear models and trees no more.
    """
    return pd.DataFrame({"affinity": np.einsum("cd,cd->c", served.user_CD, served.spu_CD)})


def code_features(
    purchases: Purchases, candidates: Candidates, codes_TNV: Rows, night_C: Rows
) -> pd.DataFrame:
    """Return sales and the user's purchases of products that share a prefix of the semantic id.

    What a product lacks in events, it has from those with which it shares a prefix.

    Args:
        codes_TNV: of each product as of each night; -1 where it has none.
        night_C: number of the night that each candidate's request reads.
    """
    parts = {}
    for night in np.unique(night_C):
        rows = np.flatnonzero(night_C == night)
        asked, codes_NV = candidates.rows(rows), codes_TNV[night]
        columns = [_prefix_counts(purchases, asked, prefixes(codes_NV, d), d) for d in (1, 2)]
        parts[night] = pd.concat(columns, axis=1).set_index(rows)
    return pd.concat(parts.values()).sort_index()


def _prefix_counts(
    purchases: Purchases, candidates: Candidates, prefix_N: Rows, depth: int
) -> pd.DataFrame:
    numbers = np.unique(prefix_N, return_inverse=True)[1]
    line, asked, minute = numbers[purchases.item], numbers[candidates.item], candidates.minute
    sales = EventIndex(line, purchases.minute)
    size = int(numbers.max()) + 1
    own = EventIndex(purchases.user * size + line, purchases.minute)
    pair = candidates.user * size + asked
    days = own.minutes_since_last(pair, minute) / MINUTES_A_DAY
    columns = {
        f"prefix{depth}_products": np.log1p(np.bincount(numbers)[asked]),
        f"prefix{depth}_events_30d": np.log1p(sales.within(asked, minute, 30 * MINUTES_A_DAY)),
        f"user_prefix{depth}_events": np.log1p(own.before(pair, minute)),
        f"user_prefix{depth}_last_days": np.log1p(days),
    }
    known = prefix_N[candidates.item] >= 0
    return pd.DataFrame({name: np.where(known, column, np.nan) for name, column in columns.items()})


def prefixes(codes_NV: Rows, depth: int) -> Rows:
    """Return one number for the first codes of each semantic id; -1 where there is none."""
    prefix = np.zeros(len(codes_NV), np.int64)
    for level in range(depth):
        prefix = prefix * _CODES + codes_NV[:, level]
    return np.where(codes_NV[:, 0] < 0, -1, prefix)


def histogram_features(
    purchases: Purchases,
    candidates: Candidates,
    vectors: Mapping[str, Vectors],
    night_C: Rows,
    *,
    bins: int = BINS,
) -> pd.DataFrame:
    """Return logs of histograms of similarity to what the user bought before the request.

    Args:
        vectors: by name, a vector of each product as of each night [T, N, D]; NaN where there is
            none.
        night_C: number of the night that each candidate's request reads.
    """
    histories = Histories(purchases)
    counts = {
        (name, span): np.zeros((len(candidates), bins), np.float32)
        for name in vectors
        for span in ("recent", "whole")
    }
    for rows in candidates.requests:
        first = rows.start
        history = histories.before(candidates.user[first], candidates.minute[first]).items
        for name, vectors_TND in vectors.items():
            vectors_ND = vectors_TND[night_C[first]]
            offered = vectors_ND[candidates.item[rows]]
            for span, items in (("recent", history[-RECENT:]), ("whole", history)):
                counts[name, span][rows] = similarity_histogram(
                    offered, vectors_ND[items], bins=bins
                )
    return pd.DataFrame(
        {
            f"{name}_{span}_{place}": np.log1p(counts_CB[:, place])
            for (name, span), counts_CB in counts.items()
            for place in range(bins)
        }
    )


def transition_features(
    purchases: Purchases, candidates: Candidates, nights: Rows, night_C: Rows
) -> pd.DataFrame:
    """Return logs of the transition scores, over transitions as of each request's night.

    Args:
        nights: ends of the nights, in minutes since 1970.
        night_C: number of the night that each candidate's request reads.
    """
    histories, users = Histories(purchases), range(len(purchases.user_ids))
    scores_C2 = np.zeros((len(candidates), len(DECAYS)), np.float32)
    for night in np.unique(night_C):
        known = [histories.before(user, nights[night]) for user in users]
        strengths_NN = transitions(known, len(purchases.item_ids)).strengths_NN
        for rows in candidates.requests:
            first = rows.start
            if night_C[first] == night:
                history = histories.before(candidates.user[first], candidates.minute[first])
                scores_C2[rows] = transition_scores(strengths_NN, history, candidates.item[rows])
    return pd.DataFrame(np.log1p(scores_C2), columns=["transitions_recent", "transitions_whole"])
