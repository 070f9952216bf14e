"""Features that a ranking team has of its own: sales, the user's purchases, repeats, prices.

Each is of what lies strictly before the request.

Shapes: C candidates.
"""

import numpy as np
import pandas as pd
from candidates import Candidates
from event_index import EventIndex
from purchases import MINUTES_A_DAY, Purchases, Rows

WINDOWS = (7, 30)


def own_features(purchases: Purchases, candidates: Candidates) -> pd.DataFrame:
    """Return the team's own features, one row a candidate; null where nothing is known."""
    columns = {
        **_counts("spu", purchases.item, purchases, candidates.item, candidates.minute),
        **_counts("user", purchases.user, purchases, candidates.user, candidates.minute),
        **_counts(
            "user_spu",
            pair_keys(purchases.user, purchases.item, purchases),
            purchases,
            pair_keys(candidates.user, candidates.item, purchases),
            candidates.minute,
        ),
        **_prices(purchases, candidates),
    }
    features = pd.DataFrame(columns)
    baskets = _baskets_before(purchases, candidates)
    features["user_baskets"] = np.log1p(baskets)
    features["user_spu_rate"] = np.expm1(features["user_spu_events"]) / np.maximum(baskets, 1)
    features["spu_trend"] = features["spu_events_7d"] - features["spu_events_30d"]
    return features


def events_before(purchases: Purchases, keys: Rows, asked: Rows, minute: Rows) -> Rows:
    """Return how many lines of its key each candidate had before its request [C].

    Args:
        keys: of each line.
        asked: of each candidate.
    """
    return EventIndex(keys, purchases.minute).before(asked, minute)


def pair_keys(user: Rows, item: Rows, purchases: Purchases) -> Rows:
    """Return one number for each user and product."""
    return user * len(purchases.item_ids) + item


def _counts(
    name: str, keys: Rows, purchases: Purchases, asked: Rows, minute: Rows
) -> dict[str, np.ndarray]:
    """Return logs of counts, over all time and in windows, and of the days since first and last."""
    index = EventIndex(keys, purchases.minute)
    columns = {f"{name}_events": np.log1p(index.before(asked, minute))}
    for days in WINDOWS:
        recent = index.within(asked, minute, days * MINUTES_A_DAY)
        columns[f"{name}_events_{days}d"] = np.log1p(recent)
    for which, since in (
        ("first", index.minutes_since_first(asked, minute)),
        ("last", index.minutes_since_last(asked, minute)),
    ):
        columns[f"{name}_{which}_days"] = np.log1p(since / MINUTES_A_DAY)
    return columns


def _prices(purchases: Purchases, candidates: Candidates) -> dict[str, np.ndarray]:
    logs = np.log(purchases.price)
    of_items = EventIndex(purchases.item, purchases.minute, logs)
    of_users = EventIndex(purchases.user, purchases.minute, logs)
    price = of_items.last_value_before(candidates.item, candidates.minute)
    usual = of_users.mean_before(candidates.user, candidates.minute)
    return {"price": price, "price_above_usual": price - usual}


def _baskets_before(purchases: Purchases, candidates: Candidates) -> Rows:
    moments = np.unique(np.stack([purchases.user, purchases.minute]), axis=1)
    return EventIndex(*moments).before(candidates.user, candidates.minute)
