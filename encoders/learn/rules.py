"""Rules: rankings that need no training, and that learned vectors have to beat.

The strongest are the two blends, which add how the items of a history lead to others to how alike
their texts are. They differ in how far back they look: where users meet one item after the other
the last few say most, where they keep to their tastes the whole history does
(``docs/results/2026-12-01-learn-quality.md``).

Shapes: B users, N items, C candidates, M items met, K whitened width.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from encoders.learn.history import History, Rows, events_of
from encoders.learn.transitions import DECAYS, transitions

Scores = NDArray[np.float32]
# Histories of some users -> scores [B, N].
Ranker = Callable[[Sequence[History]], Scores]

# Weight of the whitened text beside the transitions, 2 + 1 / (1 + n) for an item of n events: rare
# items have few transitions to be found by.
_TEXT, _TEXT_OF_NEW = 2.0, 1.0
# Above any popularity.
_OWN = 1e6
# Below any count of users: decides between items that are equally popular of late.
_TIE = 0.5


class Rules:
    """The rules, over what some users have met.

    Attributes:
        transitions: of what users have met.
        blends: by name.
        by_name: all of them.
    """

    def __init__(self, white_NK: torch.Tensor, histories: Sequence[History]) -> None:
        """Fit the rules.

        Args:
            white_NK: whitened contents of the items.
            histories: what users have met: what the rules know.
        """
        popular, unit_NK = popularity(histories, len(white_NK)), unit_rows(white_NK)
        events_N = events_of(histories, len(white_NK))
        self.transitions = transitions(histories, len(white_NK))
        self.blends: Mapping[str, Blend] = {
            name: Blend(self.transitions.strengths_NN, unit_NK, events_N, decay=decay)
            for name, decay in DECAYS.items()
        }
        self.by_name: Mapping[str, Ranker] = {
            "popularity": popular,
            "own_items_again": own_items_again(popular),
            "nearest_text": nearest_text(unit_NK),
            **self.blends,
        }


def unit_rows(white_NK: torch.Tensor) -> NDArray[np.float32]:
    """Return whitened contents at unit norm [N, K]."""
    unit: NDArray[np.float32] = torch.nn.functional.normalize(white_NK.float(), dim=1).cpu().numpy()
    return unit


def popularity(histories: Sequence[History], n_items: int) -> Ranker:
    """Rank everybody's items by how many users met them."""
    met_N = np.zeros(n_items, np.float32)
    for history in histories:
        met_N[np.unique(history.items)] += 1
    return lambda users: np.broadcast_to(met_N, (len(users), n_items))


def recent_popularity(
    histories: Sequence[History], recent_from: Sequence[int], n_items: int
) -> Ranker:
    """Rank everybody's items by how many users met them of late, then by how many ever did.

    Where fashions and seasons pass it is far ahead of popularity over all time (Ji et al., "A
    Re-visit of the Popularity Baseline in Recommender Systems", SIGIR 2020, RecentPop).

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


def own_items_again(popular: Ranker) -> Ranker:
    """Rank the items that a user met most often first, then all others by popularity.

    Args:
        popular: ``popularity``.
    """

    def ranker(users: Sequence[History]) -> Scores:
        popular_BN = popular(users)
        scores = faded_histories(users, popular_BN.shape[1], decay=1.0).toarray()
        scores *= _OWN
        scores += popular_BN
        return scores

    return ranker


def nearest_text(unit_NK: NDArray[np.float32]) -> Ranker:
    """Rank items by the cosine of their whitened content with that of the last item.

    Args:
        unit_NK: whitened contents, unit norm.
    """

    def ranker(users: Sequence[History]) -> Scores:
        scores: Scores = unit_NK[[user.items[-1] for user in users]] @ unit_NK.T
        return scores

    return ranker


class Blend:
    """Rank by transitions from the items of a history plus the likeness of their whitened text."""

    def __init__(
        self,
        transitions_NN: sp.csr_array,
        unit_NK: NDArray[np.float32],
        events_N: Rows,
        *,
        decay: float,
    ) -> None:
        """Take what the rule knows.

        Args:
            transitions_NN: strengths of ``transitions``.
            unit_NK: whitened contents, unit norm.
            events_N: how many events there were of each item.
            decay: weight of an item beside one that was met a moment later.
        """
        self._transitions_NN, self._events_N, self.decay = transitions_NN, events_N, decay
        self._unit_NK = unit_NK
        self._text_weight_N = (_TEXT + _TEXT_OF_NEW / (1 + events_N)).astype(np.float32)

    def reading(self, unit_NK: NDArray[np.float32]) -> "Blend":
        """Return the same rule over other contents."""
        return Blend(self._transitions_NN, unit_NK, self._events_N, decay=self.decay)

    def __call__(self, users: Sequence[History]) -> Scores:
        """Return the scores of all items [B, N]."""
        weight_BN = faded_histories(users, len(self._unit_NK), decay=self.decay)
        scores: Scores = (weight_BN @ self._transitions_NN).toarray()
        scores += self._text_weight_N * ((weight_BN @ self._unit_NK) @ self._unit_NK.T)
        return scores

    def among(self, users: Sequence[History], candidates_C: Rows) -> Scores:
        """Return the scores of some items [B, C]."""
        weight_BN = faded_histories(users, len(self._unit_NK), decay=self.decay)
        met_M = np.unique(weight_BN.indices)
        transitions_MC = self._by_column[:, candidates_C][met_M].toarray()
        scores: Scores = weight_BN[:, met_M] @ transitions_MC
        likeness_BC = (weight_BN @ self._unit_NK) @ self._unit_NK[candidates_C].T
        scores += self._text_weight_N[candidates_C] * likeness_BC
        return scores

    @cached_property
    def _by_column(self) -> sp.csc_array:
        """Transitions that are sliced by column in a fifth of the time."""
        return self._transitions_NN.tocsc()


def added(rule: Ranker, other: Ranker, weight: float) -> Ranker:
    """Rank by a rule's scores plus ``weight`` times those of another ranker."""
    return lambda users: rule(users) + np.float32(weight) * other(users)


def faded_histories(users: Sequence[History], n_items: int, *, decay: float) -> sp.csr_array:
    """Return the items of each history, ``decay`` to the power of their age [B, N].

    Items that were met several times add up.
    """
    rows = np.repeat(np.arange(len(users)), [len(user) for user in users])
    ages = np.concatenate([user.ages for user in users])
    items = np.concatenate([user.items for user in users])
    weights = np.float32(decay) ** ages.astype(np.float32)
    return sp.csr_array((weights, (rows, items)), shape=(len(users), n_items))
