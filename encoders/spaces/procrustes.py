"""Orthogonal Procrustes: the rotation of new vectors to old ones, and how well old readers fare.

Two trainings of an encoder put the same content anywhere: losses see dot products alone, which any
rotation keeps. So the rotation of one space to the other is free to be chosen, and is fitted
(Schönemann, Psychometrika 1966; for retrained embeddings Maystre et al., arXiv 2510.13406). What
the two trainings really disagree on, no rotation takes away.

Shapes: N keys, Q queries, C candidates, K neighbours, D numbers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.retrieval import rank_relevant
from encoders.spaces.rotation import Rotation

NEIGHBOURS = 10
# Of all users beside all SPUs, however many there are of either.
_USERS_WEIGHT = 0.5

Vectors = NDArray[np.floating]


class UnfitForRotation(ValueError):
    """The vectors of two encoders do not determine a rotation of one to the other."""


@dataclass(frozen=True)
class VectorPair:
    """Vectors of the same keys by a new and an old encoder, row by row, unit norm [N, D]."""

    new_ND: Vectors
    old_ND: Vectors

    def __len__(self) -> int:
        return len(self.new_ND)

    def __getitem__(self, rows: NDArray[np.bool_ | np.int64]) -> "VectorPair":
        return VectorPair(self.new_ND[rows], self.old_ND[rows])


@dataclass(frozen=True)
class CrossRecall:
    """Recall@10 of the old encoder's neighbours: within the new space, and across both.

    Attributes:
        within: queries and candidates are new.
        unrotated: as ``across``, without the rotation.
        across: one of queries and candidates is new and rotated, the other old; the lower of the
            two ways round.
    """

    within: float
    unrotated: float
    across: float

    @property
    def kept(self) -> float:
        """Share of the recall within that is left across."""
        return self.across / self.within if self.within else float("nan")


def fitted_rotation(
    spus: VectorPair, users: VectorPair | None = None, *, centred: bool = False
) -> Rotation:
    """Return the orthogonal matrix that turns new vectors nearest to the old ones [D, D].

    A reflection is one too.

    Args:
        users: of encoders whose users and SPUs share a space. They lie apart from SPUs, so that a
            rotation that suits these alone leaves them less well off.
        centred: fit what is left when the mean of each side is taken off. That is right for vectors
            that are shifted too. These are not, and do better without
            (``docs/results/2026-11-30-release-alignment.md``).

    Raises:
        UnfitForRotation: the widths differ, or there are fewer SPUs than numbers in a vector.
    """
    from scipy.linalg import orthogonal_procrustes

    (count, width), old_width = spus.new_ND.shape, spus.old_ND.shape[1]
    if width != old_width:
        raise UnfitForRotation(
            f"new vectors have {width} numbers and old ones {old_width}: there is no rotation of "
            "one to the other."
        )
    if count <= width:
        raise UnfitForRotation(
            f"a rotation of {width} numbers needs more than {width} SPUs to be fitted on, but "
            f"there are {count}."
        )
    groups = [(spus, 1.0), *([] if users is None or not len(users) else [(users, _USERS_WEIGHT)])]
    weighted = [_weighted(pair, weight, centred=centred) for pair, weight in groups]
    new_ND, old_ND = (np.concatenate(sides) for sides in zip(*weighted, strict=True))
    rotation_DD: Rotation = orthogonal_procrustes(new_ND, old_ND)[0]
    return rotation_DD


def cross_recall(
    queries: VectorPair,
    candidates: VectorPair,
    rotation_DD: Rotation,
    *,
    own_Q: NDArray[np.int64] | None = None,
) -> CrossRecall:
    """Return how many of the old encoder's nearest candidates are found within and across spaces.

    This is the cross test of Shen et al. (CVPR 2020, "Towards backward-compatible representation
    learning"): queries of one encoder search candidates of another. They take a labelled set; here
    the truth is what a reader of the old space is used to, the ``NEIGHBOURS`` candidates of largest
    cosine with a query where both are old. Recall is the mean, over queries, of the share of these
    that are among the ``NEIGHBOURS`` found.

    Args:
        queries: should not be among those that the rotation was fitted on.
        own_Q: the candidate that is the query itself, which is not its own neighbour.
    """
    new_QD, old_QD = _doubles(queries)
    new_CD, old_CD = _doubles(candidates)
    search = _Search(own_Q, _nearest(old_QD, old_CD, own_Q))
    turned_QD, turned_CD = new_QD @ rotation_DD, new_CD @ rotation_DD
    return CrossRecall(
        within=search.recall(new_QD, new_CD),
        unrotated=min(search.recall(new_QD, old_CD), search.recall(old_QD, new_CD)),
        across=min(search.recall(turned_QD, old_CD), search.recall(old_QD, turned_CD)),
    )


@dataclass(frozen=True)
class _Search:
    own_Q: NDArray[np.int64] | None
    truth_QK: NDArray[np.int64]

    def recall(self, queries_QD: Vectors, candidates_CD: Vectors) -> float:
        if not self.truth_QK.size:
            return float("nan")
        ranks = rank_relevant(
            lambda rows: queries_QD[rows] @ candidates_CD.T,
            list(self.truth_QK),
            masked=None if self.own_Q is None else list(self.own_Q[:, None]),
        )
        return float(ranks.recall(NEIGHBOURS).mean())


def _nearest(
    queries_QD: Vectors, candidates_CD: Vectors, own_Q: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Return the candidates of largest dot product with each query [Q, K]."""
    count = min(NEIGHBOURS, len(candidates_CD) - (own_Q is not None))
    nearest_QK = np.empty((len(queries_QD), count), np.int64)
    for row, query_D in enumerate(queries_QD):
        scores_C = candidates_CD @ query_D
        if own_Q is not None:
            scores_C[own_Q[row]] = -np.inf
        nearest_QK[row] = np.argsort(-scores_C, kind="stable")[:count]
    return nearest_QK


def _weighted(
    pair: VectorPair, weight: float, *, centred: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both sides so that their product counts as ``weight``, however many rows there are."""
    new_ND, old_ND = (side - side.mean(axis=0) if centred else side for side in _doubles(pair))
    scale = (weight / len(pair)) ** 0.5
    return new_ND * scale, old_ND * scale


def _doubles(pair: VectorPair) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return pair.new_ND.astype(np.float64), pair.old_ND.astype(np.float64)
