"""Evaluation of LEARN: recall@k and nDCG@k of the items that users meet next.

Every item of the catalogue is ranked. What to beat stands in ``rules.py`` and ``baselines/``.

Shapes: B users, N items, X width of the towers' input, D dimension.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.learn.history import Case, History
from encoders.learn.rules import Ranker, Scores
from encoders.learn.top_lists import (
    TopLists,
    coverage,
    debiased_ndcg,
    ndcg,
    recall,
    top_lists,
)
from encoders.retrieval import rank_relevant

# Items by how many events there were of them before the cut, at least and at most.
_FREQUENCIES = {"cold": (0, 0), "tail": (1, 5), "head": (6, np.inf)}


class VectorTowers(Protocol):
    """Towers whose vectors of users and items are compared by their cosine."""

    def items(self, inputs_NX: torch.Tensor) -> torch.Tensor:
        """Return item vectors, unit norm [N, D]."""
        ...

    def users(self, inputs_NX: torch.Tensor, histories: Sequence[History]) -> torch.Tensor:
        """Return user vectors, unit norm [B, D], of histories of one item at least."""
        ...


def user_scores(
    ranker: Ranker, cases: Sequence[Case], *, k: int = 10, mask_seen: bool = True
) -> dict[str, NDArray[np.float64]]:
    """Return ``recall@k`` and ``ndcg@k`` of each user [U], ranked over the whole catalogue.

    Recall is the share of a user's different targets among the first k, of at most k; it is the hit
    rate where a user has one target.

    Args:
        mask_seen: rank the items of the history last, and count no target that is among them. A
            user whose every target was seen is then left out.
    """
    targets = [_targets(case, mask_seen) for case in cases]
    histories = [case.history for case, its in zip(cases, targets, strict=True) if len(its)]
    seen = [history.items for history in histories]
    ranks = rank_relevant(
        lambda users: ranker(histories[users]),
        [its for its in targets if len(its)],
        masked=seen if mask_seen else None,
    )
    return {f"recall@{k}": ranks.recall(k), f"ndcg@{k}": ranks.ndcg(k)}


def both_ways(
    ranker: Ranker, cases: Sequence[Case], *, k: int = 10
) -> dict[str, NDArray[np.float64]]:
    """Return ``user_scores`` with seen items ranked last, and without as ``..._unmasked``."""
    return _by_user(*top_lists(ranker, cases, k=k), cases)


@dataclass(frozen=True)
class Judged:
    """What a ranker reaches on some cases.

    Attributes:
        by_user: ``both_ways``.
        figures: means of these; recall by frequency, ``recall@k_cold`` of items without an event,
            ``recall@k_tail`` of those with at most five, ``recall@k_head`` of all others, seen
            items ranked like any other; ``ndcg@k_debiased`` and ``coverage@k``, seen items left
            out. What there are no targets for is left out.
    """

    by_user: Mapping[str, NDArray[np.float64]]
    figures: Mapping[str, float]


def judged_ranker(
    ranker: Ranker, cases: Sequence[Case], events_N: NDArray[np.int64], *, k: int = 10
) -> Judged:
    """Return every metric of a ranker, from one ranking of the catalogue a user.

    Args:
        events_N: how many events there were of each item before the cut.
    """
    masked_Uk, unmasked_Uk = top_lists(ranker, cases, k=k)
    by_user = _by_user(masked_Uk, unmasked_Uk, cases)
    of_all = {
        f"ndcg@{k}_debiased": debiased_ndcg(masked_Uk, _all_targets(cases, True), events_N),
        f"coverage@{k}": coverage(masked_Uk, len(events_N)),
    }
    known = {name: value for name, value in of_all.items() if not np.isnan(value)}
    by_frequency = recall_by_frequency(unmasked_Uk, cases, events_N)
    return Judged(by_user, {**_means(by_user), **by_frequency, **known})


def recall_by_frequency(
    lists_Uk: TopLists, cases: Sequence[Case], events_N: NDArray[np.int64]
) -> dict[str, float]:
    """Return recall of rare and of frequent items alone, as ``Judged.figures`` has it.

    Args:
        lists_Uk: with seen items.
        events_N: how many events there were of each item before the cut.
    """
    by_user = {}
    for group, (least, most) in _FREQUENCIES.items():
        is_in_N = (events_N >= least) & (events_N <= most)
        of_group = [its[is_in_N[its]] for its in _all_targets(cases, False)]
        by_user[f"recall@{lists_Uk.shape[1]}_{group}"] = _counted(recall(lists_Uk, of_group))
    return _means(by_user)


def repeated_share(cases: Sequence[Case]) -> float:
    """Return the share of the users' different targets that were in their history."""
    targets = [np.unique(case.targets) for case in cases]
    repeats = [np.isin(its, case.history.items) for case, its in zip(cases, targets, strict=True)]
    return float(np.concatenate(repeats).mean())


def compared(
    rankers: Mapping[str, Ranker], cases: Sequence[Case], *, k: int = 10
) -> dict[str, dict[str, float]]:
    """Return every ranker's metrics on the same cases, with seen items ranked last and without."""
    return {name: summed_up(both_ways(r, cases, k=k), k=k) for name, r in rankers.items()}


def summed_up(by_user: Mapping[str, NDArray[np.float64]], *, k: int = 10) -> dict[str, float]:
    """Return the means of ``both_ways``, and of how many users they are."""
    return {
        **_means(by_user),
        "users": len(by_user[f"recall@{k}"]),
        "users_unmasked": len(by_user[f"recall@{k}_unmasked"]),
    }


def tower_ranker(towers: VectorTowers, inputs_NX: torch.Tensor) -> Ranker:
    """Rank items by the cosine of their vector with the user's.

    Args:
        inputs_NX: what the towers read of each item.
    """
    with torch.inference_mode():
        items_ND = torch.cat([towers.items(chunk) for chunk in torch.split(inputs_NX, 4096)])

    def ranker(histories: Sequence[History]) -> Scores:
        with torch.inference_mode():
            scores: Scores = (towers.users(inputs_NX, histories) @ items_ND.T).cpu().numpy()
        return scores

    return ranker


def _by_user(
    masked_Uk: TopLists, unmasked_Uk: TopLists, cases: Sequence[Case]
) -> dict[str, NDArray[np.float64]]:
    k, new, every = masked_Uk.shape[1], _all_targets(cases, True), _all_targets(cases, False)
    return {
        f"recall@{k}": _counted(recall(masked_Uk, new)),
        f"ndcg@{k}": _counted(ndcg(masked_Uk, new)),
        f"recall@{k}_unmasked": _counted(recall(unmasked_Uk, every)),
        f"ndcg@{k}_unmasked": _counted(ndcg(unmasked_Uk, every)),
    }


def _counted(values_U: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values of the users that have a target."""
    return values_U[~np.isnan(values_U)]


def _all_targets(cases: Sequence[Case], mask_seen: bool) -> list[NDArray[np.int64]]:
    return [_targets(case, mask_seen) for case in cases]


def _means(by_user: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """Return the mean of each metric that has a user."""
    return {name: float(of_users.mean()) for name, of_users in by_user.items() if len(of_users)}


def _targets(case: Case, mask_seen: bool) -> NDArray[np.int64]:
    """Return a user's different targets; those not in the history where seen items are masked."""
    targets: NDArray[np.int64] = np.unique(case.targets)
    return np.setdiff1d(targets, case.history.items) if mask_seen else targets
