"""Metrics against sklearn and by hand; the simple rules on a catalogue one can read."""

import numpy as np
import pytest
import torch
from sklearn.metrics import ndcg_score

from encoders.learn.evaluation import (
    Case,
    compared,
    nearest_text,
    neighbour_blend,
    popularity,
    ranking_metrics,
    tower_ranker,
    user_scores,
)
from encoders.learn.towers import PreferenceTowers, TowerConfig


def _case(history: list[int], targets: list[int]) -> Case:
    return Case(np.array(history), np.array(targets))


def test_recall_is_the_share_of_different_targets_among_the_first_k() -> None:
    scores = np.array([[9.0, 8, 7, 6, 5, 4]], np.float32)
    case = _case([5], [1, 4, 4, 3])

    metrics = ranking_metrics(lambda _: scores, [case], k=3)

    assert metrics["recall@3"] == pytest.approx(1 / 3)
    assert metrics["users"] == 1


def test_seen_items_are_ranked_last_only_where_asked() -> None:
    scores = np.array([[9.0, 8, 7]], np.float32)
    case = _case([0, 1], [2])

    assert ranking_metrics(lambda _: scores, [case], k=1)["recall@1"] == 1
    assert ranking_metrics(lambda _: scores, [case], k=1, mask_seen=False)["recall@1"] == 0


def test_a_user_who_only_repeats_counts_only_where_seen_items_do() -> None:
    scores = np.array([[9.0, 8, 7]], np.float32)
    case = _case([0, 1], [1, 0])

    assert ranking_metrics(lambda _: scores, [case]) == {"users": 0}
    assert ranking_metrics(lambda _: scores, [case], mask_seen=False)["users"] == 1


@pytest.mark.parametrize("k", [1, 3, 10, 50, 60])
def test_equal_scores_are_ranked_in_the_order_of_the_items(k: int) -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, size=(40, 50)).astype(np.float32)
    scores[0], scores[1, :45] = 1.0, -np.inf
    cases = [Case(np.array([0]), rng.choice(50, size=5, replace=False)) for _ in scores]

    found = user_scores(lambda _: scores, cases, k=k, mask_seen=False)[f"recall@{k}"]

    order = [sorted(range(50), key=lambda item, row=row: (-row[item], item)) for row in scores]
    expected = [
        len(set(ranked[:k]) & set(case.targets.tolist())) / min(k, 5)
        for ranked, case in zip(order, cases, strict=True)
    ]
    np.testing.assert_allclose(found, expected)


def test_ndcg_equals_sklearns() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((30, 50)).astype(np.float32)
    cases = [
        Case(np.array([0]), rng.choice(50, size=rng.integers(1, 9), replace=False))
        for _ in range(30)
    ]
    relevant = np.zeros((30, 50))
    for row, case in enumerate(cases):
        relevant[row, case.targets] = 1

    metrics = ranking_metrics(lambda _: scores, cases, k=10, mask_seen=False)

    assert metrics["ndcg@10"] == pytest.approx(ndcg_score(relevant, scores, k=10))


def test_users_of_all_chunks_are_counted() -> None:
    cases = [_case([0], [1]) for _ in range(600)]

    metrics = ranking_metrics(lambda h: np.tile([0.0, 1.0], (len(h), 1)), cases, k=1)

    assert metrics == {"recall@1": 1, "ndcg@1": 1, "users": 600}


def test_popularity_counts_users_and_not_events() -> None:
    ranker = popularity([np.array([2, 2, 2]), np.array([1]), np.array([1, 0])], 3)

    assert np.argsort(-ranker([np.array([0])])[0]).tolist()[0] == 1


def test_nearest_text_compares_with_the_last_item() -> None:
    white = torch.tensor([[1.0, 0], [0, 1], [0.9, 0.1]])

    scores = nearest_text(white)([np.array([1, 0])])[0]

    assert np.argsort(-scores).tolist() == [0, 2, 1]


def test_neighbour_blend_adds_co_occurrence_to_text() -> None:
    white = torch.eye(4)
    sequences = [np.array([0, 1]), np.array([0, 1]), np.array([0, 2])]

    scores = neighbour_blend(sequences, white)([np.array([3, 0])])[0]

    np.testing.assert_allclose(scores, [2.0, np.log(3), np.log(2), 0.0], rtol=1e-6)


def test_tower_ranker_gives_the_cosine_of_user_and_item() -> None:
    torch.manual_seed(0)
    towers = PreferenceTowers(
        TowerConfig(content_width=6, whitened_width=6, dim=4, width=8, layers=1, heads=2)
    )
    torch.nn.init.normal_(towers.head.weight)
    white = torch.randn(5, 6)
    histories = [np.array([0, 3]), np.array([2])]

    scores = tower_ranker(towers.eval(), white)(histories)

    with torch.inference_mode():
        expected = [
            towers.sequence(white[h][None])[0, -1] @ towers.items(white).T for h in histories
        ]
    np.testing.assert_allclose(scores, torch.stack(expected), atol=1e-6)


def test_compared_reports_both_ways_for_every_ranker() -> None:
    ranker = popularity([np.array([0, 1])], 3)

    table = compared({"popularity": ranker}, [_case([0], [1])], k=1)

    assert table["popularity"] == {
        "recall@1": 1,
        "ndcg@1": 1,
        "users": 1,
        "recall@1_unmasked": 0,
        "ndcg@1_unmasked": 0,
        "users_unmasked": 1,
    }
