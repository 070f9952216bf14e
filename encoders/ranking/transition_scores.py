"""Scores of candidates by what users met with and after the products of a history.

The rule that LEARN is held against, without its text (``encoders/learn/rules.py``), so one function
for training and for serving: a service keeps the transitions of the last night, and scores the
history of the minute before.

Needs numpy and scipy alone.

Shapes: N products of the catalogue, C candidates, T products of a history.
"""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from encoders.learn.history import History, Rows

# A column each: the last few moments, and the whole history. Weight of a product beside one that
# was met a moment later, as by the rules.
DECAYS = (0.5, 0.97)


def transition_scores(
    strengths_NN: sp.csr_array, history: History, candidates_C: Rows
) -> NDArray[np.float32]:
    """Return how strongly a history leads to each candidate, float32 [C, 2].

    A candidate of which nothing is known, and every candidate of a user without history, has zeros.

    Args:
        strengths_NN: of ``transitions``.
        history: rows of the catalogue, oldest first; T may be 0.
        candidates_C: rows of the catalogue.
    """
    strengths_TC = strengths_NN[history.items][:, candidates_C]
    fading_2T = np.array(DECAYS)[:, None] ** history.ages
    scores: NDArray[np.float32] = (strengths_TC.T @ fading_2T.T).astype(np.float32)
    return scores
