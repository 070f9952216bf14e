"""Rules: rankings that need no training, and that learned vectors have to beat.

The strongest are the two blends, which add what was met around the items of a history to how alike
their texts are. They differ in how far back they look: where users meet one item after the other
the last few say most, where they buy baskets the whole history does
(``docs/results/2026-11-30-learn-rules.md``).

Shapes: B users, N items, K whitened width.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from encoders.learn.batches import History
from encoders.learn.evaluation import Ranker, Scores

# Two items of a user count as met together up to so many places apart, by the inverse of these.
_LARGEST_GAP = 15
# Weight of what users met before an item, where what they met after it weighs 1.
_BACKWARD = 0.5
# Weight of the whitened text beside the logarithm of the transitions.
_TEXT = 2.0
# Weight of each item of a history beside the one after it, by the blend.
_DECAYS = {"neighbour_blend": 0.5, "history_blend": 0.97}
# Older items of a history are left out.
_MAX_HISTORY = 80
# Above any popularity.
_OWN = 1e6


def rules(white_NK: torch.Tensor, sequences: Sequence[History]) -> dict[str, Ranker]:
    """Return the rules by name.

    Args:
        white_NK: whitened contents of the items.
        sequences: what users have met, oldest first: what the rules know.
    """
    unit_NK = torch.nn.functional.normalize(white_NK, dim=1).numpy()
    popular = popularity(sequences, len(unit_NK))
    transitions = log_transitions(sequences, len(unit_NK))
    return {
        "popularity": popular,
        "own_items_again": own_items_again(popular),
        "nearest_text": nearest_text(unit_NK),
        **{name: blend(transitions, unit_NK, decay=decay) for name, decay in _DECAYS.items()},
    }


def popularity(sequences: Sequence[History], n_items: int) -> Ranker:
    """Rank everybody's items by how many users met them."""
    met_N = np.zeros(n_items, np.float32)
    for sequence in sequences:
        met_N[np.unique(sequence)] += 1
    return lambda histories: np.broadcast_to(met_N, (len(histories), n_items))


def own_items_again(popular: Ranker) -> Ranker:
    """Rank the items that a user met most often first, then all others by popularity.

    Args:
        popular: ``popularity``.
    """

    def ranker(histories: Sequence[History]) -> Scores:
        popular_BN = popular(histories)
        scores = _weighed_histories(histories, popular_BN.shape[1], decay=1.0).toarray()
        scores *= _OWN
        scores += popular_BN
        return scores

    return ranker


def nearest_text(unit_NK: NDArray[np.float32]) -> Ranker:
    """Rank items by the cosine of their whitened content with that of the last item.

    Args:
        unit_NK: whitened contents, unit norm.
    """

    def ranker(histories: Sequence[History]) -> Scores:
        scores: Scores = unit_NK[[history[-1] for history in histories]] @ unit_NK.T
        return scores

    return ranker


def blend(transitions_NN: sp.csr_array, unit_NK: NDArray[np.float32], *, decay: float) -> Ranker:
    """Rank by transitions from the items of a history plus the likeness of their whitened text.

    Args:
        transitions_NN: ``log_transitions``.
        unit_NK: whitened contents, unit norm.
        decay: weight of an item beside the one after it.
    """

    def ranker(histories: Sequence[History]) -> Scores:
        weight_BN = _weighed_histories(histories, len(unit_NK), decay=decay)
        scores: Scores = (weight_BN @ transitions_NN).toarray()
        scores += _TEXT * ((weight_BN @ unit_NK) @ unit_NK.T)
        return scores

    return ranker


def log_transitions(sequences: Sequence[History], n_items: int) -> sp.csr_array:
    """Return log(1 + how often the column's item followed the row's) plus the reverse, weighed.

    A pair of a user counts by the inverse of the places that lie between its items.

    Returns:
        float32 [N, N], without a diagonal.
    """
    items = np.concatenate([*sequences, np.empty(0, np.int64)])
    users = np.repeat(np.arange(len(sequences)), [len(sequence) for sequence in sequences])
    followed = sp.csr_array((n_items, n_items), dtype=np.float32)
    for gap in range(1, _LARGEST_GAP + 1):
        first, then = items[:-gap], items[gap:]
        counts = (users[:-gap] == users[gap:]) & (first != then)
        weight = np.full(int(counts.sum()), 1 / gap, np.float32)
        pairs = (first[counts], then[counts])
        followed = followed + sp.csr_array((weight, pairs), shape=(n_items, n_items))
    forward = followed.log1p()
    both: sp.csr_array = sp.csr_array(forward + _BACKWARD * forward.T)
    return both


def _weighed_histories(histories: Sequence[History], n_items: int, *, decay: float) -> sp.csr_array:
    """Return the newest items of each history, weighed by age [B, N]; repeats add up."""
    newest = [history[-_MAX_HISTORY:] for history in histories]
    weights = [decay ** np.arange(len(items) - 1, -1, -1, dtype=np.float32) for items in newest]
    users = np.repeat(np.arange(len(newest)), [len(items) for items in newest])
    return sp.csr_array(
        (np.concatenate(weights), (users, np.concatenate(newest))),
        shape=(len(histories), n_items),
    )
