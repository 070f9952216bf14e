"""Metrics against scikit-learn, ranks against a ranking by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score
from sklearn.metrics import ndcg_score as sklearn_ndcg

from encoders.retrieval import Ranks, rank_relevant, relevant_by_label

Matrix = NDArray[np.float32]


def _ranks(
    scores: Matrix, relevant: list[list[int]], masked: list[list[int]] | None = None
) -> Ranks:
    hidden = None if masked is None else [np.array(columns, np.int64) for columns in masked]
    found = [np.array(columns, np.int64) for columns in relevant]
    return rank_relevant(lambda queries: scores[queries], found, masked=hidden)


@pytest.fixture
def scores() -> Matrix:
    return np.random.default_rng(0).random((300, 60)).astype(np.float32)


@pytest.fixture
def relevant() -> list[list[int]]:
    rng = np.random.default_rng(1)
    return [rng.choice(60, size=rng.integers(1, 15), replace=False).tolist() for _ in range(300)]


def _dense(relevant: list[list[int]]) -> NDArray[np.float64]:
    is_relevant = np.zeros((len(relevant), 60))
    for row, columns in enumerate(relevant):
        is_relevant[row, columns] = 1
    return is_relevant


@pytest.mark.parametrize("k", [1, 10, 60, 100])
def test_ndcg_equals_that_of_sklearn(scores: Matrix, relevant: list[list[int]], k: int) -> None:
    found = _ranks(scores, relevant).ndcg(k)

    assert found.shape == (300,)
    assert found.mean() == pytest.approx(sklearn_ndcg(_dense(relevant), scores, k=k))


def test_average_precision_equals_that_of_sklearn(
    scores: Matrix, relevant: list[list[int]]
) -> None:
    found = _ranks(scores, relevant).average_precision()

    pairs = zip(_dense(relevant), scores, strict=True)
    np.testing.assert_allclose(found, [average_precision_score(*pair) for pair in pairs])


def test_reciprocal_rank_equals_that_of_sklearn(scores: Matrix) -> None:
    found = _ranks(scores, [[7]] * 300).reciprocal_rank()

    expected = label_ranking_average_precision_score(_dense([[7]] * 300), scores)
    assert found.mean() == pytest.approx(expected)


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_ranks_agree_with_a_ranking_by_hand(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (5, 9)).astype(np.float32)
    scores[rng.random((5, 9)) < 0.1] = np.nan
    masked = [np.flatnonzero(rng.random(9) < 0.2).tolist() for _ in scores]
    relevant = [np.flatnonzero(rng.random(9) < 0.4).tolist() for _ in scores]

    ranks = _ranks(scores, relevant, masked)

    for row, wanted in enumerate(relevant):
        can_be_found = [c for c in range(9) if c not in masked[row] and scores[row, c] >= 0]
        ranking = sorted(can_be_found, key=lambda c: (-scores[row, c], c))
        expected = [ranking.index(c) + 1 if c in ranking else np.inf for c in wanted]
        assert ranks.rank_R[ranks.query_R == row].tolist() == sorted(expected)
        if wanted:
            hits = len(set(ranking[:k]) & set(wanted))
            assert ranks.recall(k)[row] == pytest.approx(hits / min(k, len(wanted)))
            assert ranks.hit(k)[row] == (hits > 0)
            assert ranks.reciprocal_rank()[row] == pytest.approx(1 / min(expected))


def test_equal_scores_are_ranked_in_the_order_of_the_candidates() -> None:
    scores = np.array([[1, 2, 2, 2, 0]], np.float32)

    assert _ranks(scores, [[3, 0, 1]]).rank_R.tolist() == [1, 3, 4]


def test_candidates_without_a_score_are_never_found() -> None:
    scores = np.array([[np.nan, -np.inf, 5, 4]], np.float32)

    ranks = _ranks(scores, [[0, 1, 2, 3]], masked=[[2]])

    assert ranks.rank_R.tolist() == [1, np.inf, np.inf, np.inf]
    assert ranks.recall(10).tolist() == [0.25]
    assert ranks.average_precision().tolist() == [0.25]


def test_a_query_without_a_relevant_candidate_has_no_figures() -> None:
    ranks = _ranks(np.array([[2, 1], [2, 1]], np.float32), [[], [1]])

    of_queries = (
        ranks.recall(1), ranks.hit(2), ranks.reciprocal_rank(), ranks.average_precision(),
        ranks.ndcg(2),
    )  # fmt: skip
    assert all(np.isnan(figure[0]) for figure in of_queries)
    assert [figure[1] for figure in of_queries[:4]] == [0, 1, 0.5, 0.5]


def test_queries_are_scored_a_part_at_a_time_and_the_scores_are_not_changed() -> None:
    scores = np.tile(np.array([0, 1], np.float32), (600, 1))
    asked = []

    def score(queries: slice) -> Matrix:
        asked.append(queries)
        return scores[queries]

    ranks = rank_relevant(score, [np.array([0])] * 600, masked=[np.array([1])] * 600)

    assert ranks.rank_R.tolist() == [1] * 600
    assert [(part.start, part.stop) for part in asked] == [(0, 256), (256, 512), (512, 600)]
    assert scores[0].tolist() == [0, 1]


def test_without_queries_there_are_no_figures() -> None:
    assert _ranks(np.empty((0, 3), np.float32), []).recall(10).shape == (0,)


def test_relevant_by_label_gives_candidates_of_the_same_label() -> None:
    found = relevant_by_label(np.array([7, 9, 8]), np.array([8, 7, 8, 7, 6]))

    assert [columns.tolist() for columns in found] == [[1, 3], [], [0, 2]]
