"""EASE: a linear model of every item from all others, in closed form.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019. It inverts a dense matrix of
all items by all items, which is what limits the catalogues that it can be had for.

Shapes: B users, N items.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import lapack

from encoders.learn.evaluation import user_scores
from encoders.learn.history import Case, History
from encoders.learn.rules import Ranker, Scores, faded_histories

# A gigabyte, and a minute or two of one core; the time grows by the cube.
MOST_ITEMS = 15_000
# Of the figure that decides between ridges; what the paper tries.
RIDGES = (100.0, 300.0, 1000.0)
_FIGURE = "ndcg@10"


class CatalogueTooLarge(ValueError):
    """EASE's matrix would not fit."""


def ease(histories: Sequence[History], n_items: int, *, ridge: float) -> Ranker:
    """Rank by the weights of the items that a user has met, each counting once.

    Args:
        ridge: added to the diagonal of the co-occurrence counts: how many users have to agree
            before a pair counts.

    Raises:
        CatalogueTooLarge: there are more than ``MOST_ITEMS`` items.
    """
    if n_items > MOST_ITEMS:
        raise CatalogueTooLarge(
            f"EASE inverts a dense matrix of all items by all items: it is for at most "
            f"{MOST_ITEMS:,}, but there are {n_items:,}."
        )
    weights_NN = _weights(_gram(histories, n_items), ridge)

    def ranker(users: Sequence[History]) -> Scores:
        scores: Scores = _met(users, n_items) @ weights_NN
        return scores

    return ranker


def best_ridge(
    histories: Sequence[History],
    watched_from: Sequence[int],
    n_items: int,
    *,
    ridges: Sequence[float] = RIDGES,
    max_watched: int = 2_000,
) -> float:
    """Return the ridge with which EASE ranks best what users met last; the first of equals.

    Args:
        watched_from: of each user, how many items lie before what is ranked.
        max_watched: users, evenly spread over all.
    """
    learners = [h.until(size) for h, size in zip(histories, watched_from, strict=True)]
    both = [
        Case(seen, history.items[len(seen) :])
        for seen, history in zip(learners, histories, strict=True)
        if 0 < len(seen) < len(history)
    ]
    cases = both[:: max(1, -(-len(both) // max_watched))]
    figures = {
        ridge: float(user_scores(ease(learners, n_items, ridge=ridge), cases)[_FIGURE].sum())
        for ridge in ridges
    }
    return max(ridges, key=lambda ridge: figures[ridge])


def _met(users: Sequence[History], n_items: int) -> sp.csr_array:
    """Return which items each user has met, 0 or 1 [B, N]."""
    met = faded_histories(users, n_items, decay=1.0)
    met.sum_duplicates()
    met.data[:] = 1
    return met


def _gram(histories: Sequence[History], n_items: int) -> NDArray[np.float32]:
    """Return how many users met both of two items [N, N]."""
    users = [history for history in histories if len(history)]
    if not users:
        return np.zeros((n_items, n_items), np.float32)
    met = _met(users, n_items)
    gram_NN: NDArray[np.float32] = (met.T @ met).toarray()
    return gram_NN


def _weights(gram_NN: NDArray[np.float32], ridge: float) -> NDArray[np.float32]:
    """Return the weight of each item (row) for each other (column); zeros on the diagonal."""
    gram_NN[np.diag_indices_from(gram_NN)] += ridge
    # Symmetric and positive definite: by a Cholesky factor, in place, the inverse takes a third of
    # the time and a quarter of the memory of numpy's. Transposed, for LAPACK stores columns.
    factor_NN, _ = lapack.spotrf(gram_NN.T, overwrite_a=True)
    inverse_NN: NDArray[np.float32] = lapack.spotri(factor_NN, overwrite_c=True)[0].T
    for row in range(len(inverse_NN)):
        inverse_NN[row, row + 1 :] = inverse_NN[row + 1 :, row]
    inverse_NN /= -np.diag(inverse_NN).copy()
    np.fill_diagonal(inverse_NN, 0)
    return inverse_NN
