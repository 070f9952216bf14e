"""Metrics and baselines on a catalogue that can be read."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from encoders.learn.evaluation import (
    VectorTowers,
    both_ways,
    compared,
    judged_ranker,
    repeated_share,
    summed_up,
    tower_ranker,
    user_scores,
)
from encoders.learn.history import Case, History, events_of
from encoders.learn.rules import Scores, popularity
from encoders.learn.towers import TowerConfig, Towers
from encoders.learn.transformer_towers import TransformerConfig, TransformerTowers


def _case(history: list[int], targets: list[int]) -> Case:
    return Case(History.one_by_one(history), np.array(targets))


def test_recall_is_the_share_of_different_targets_among_the_first_k() -> None:
    scores = np.array([[9.0, 8, 7, 6, 5, 4]], np.float32)
    case = _case([5], [1, 4, 4, 3])

    metrics = user_scores(lambda _: scores, [case], k=3)

    assert metrics["recall@3"].tolist() == pytest.approx([1 / 3])
    assert metrics["ndcg@3"].tolist() == pytest.approx(
        [(1 / np.log2(3)) / (1 + 1 / np.log2(3) + 0.5)]
    )


def test_seen_items_are_ranked_last_only_where_they_are_masked() -> None:
    scores = np.array([[9.0, 8, 7]], np.float32)
    case = _case([0, 1], [2])

    assert user_scores(lambda _: scores, [case], k=1)["recall@1"].tolist() == [1]
    assert user_scores(lambda _: scores, [case], k=1, mask_seen=False)["recall@1"].tolist() == [0]


def test_a_user_who_only_repeats_counts_only_where_seen_items_do() -> None:
    scores = np.array([[9.0, 8, 7]], np.float32)

    by_user = both_ways(lambda _: scores, [_case([0, 1], [1, 0])])

    assert summed_up(by_user) == {
        "recall@10_unmasked": 1,
        "ndcg@10_unmasked": 1,
        "users": 0,
        "users_unmasked": 1,
    }


def test_recall_is_told_apart_for_items_of_few_and_of_many_events() -> None:
    events = np.array([0, 1, 5, 6, 900])
    cases = [_case([4], [0, 1, 2, 3]), _case([3], [2, 4]), _case([4], [3])]
    # The first two of five are found, 4 and then 2, whether they were seen or not.
    scores = np.tile(np.float32([1, 2, 4, 3, 5]), (3, 1))

    found = judged_ranker(lambda users: scores[: len(users)], cases, events, k=2).figures

    # By user: of 1 and 2 one is found, 2 is found; 3 is not found, 4 is, 3 is not.
    groups = {name: found[f"recall@2_{name}"] for name in ("cold", "tail", "head")}
    assert groups == {"cold": 0, "tail": 0.75, "head": 1 / 3}
    alone = judged_ranker(lambda _: scores[:1], [_case([0], [4])], events, k=2).figures
    assert "recall@2_cold" not in alone
    assert alone["recall@2_head"] == 1


def test_all_figures_of_a_ranker_come_of_one_ranking_a_user() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(40, 40)).astype(np.float32)
    cases = [_case([row % 40, 7], rng.integers(0, 40, 3).tolist()) for row in range(300)]
    ranked: list[int] = []

    def ranker(histories: Sequence[History]) -> Scores:
        ranked.append(len(histories))
        return scores[[int(history.items[0]) for history in histories]]

    found = judged_ranker(ranker, cases, np.ones(40, np.int64))

    assert sum(ranked) == 300
    for mask_seen, suffix in ((True, ""), (False, "_unmasked")):
        for metric, expected in user_scores(ranker, cases, mask_seen=mask_seen).items():
            np.testing.assert_allclose(found.by_user[metric + suffix], expected)
            assert found.figures[metric + suffix] == pytest.approx(expected.mean())
    assert found.figures["coverage@10"] == 39 / 40  # all but item 7, which everybody has seen
    assert 0 < found.figures["ndcg@10_debiased"] < 1


def test_events_are_counted_by_item() -> None:
    histories = [History.one_by_one(items) for items in ([2, 2, 0], [], [2])]

    assert events_of(histories, 4).tolist() == [1, 0, 3, 0]


def test_repeated_share_counts_different_targets() -> None:
    assert repeated_share([_case([1, 1, 2], [1, 1, 3]), _case([0], [0, 0, 5, 6])]) == 0.4


def test_the_ranker_sees_histories_of_users_that_count_alone() -> None:
    cases = [_case([0], [0]), *[_case([1], [0])] * 300]
    ranked: list[int] = []

    def ranker(histories: Sequence[History]) -> Scores:
        ranked.extend(int(history.items[0]) for history in histories)
        return np.tile(np.float32([0, 1]), (len(histories), 1))

    metrics = user_scores(ranker, cases, k=1)

    assert ranked == [1] * 300
    assert metrics["recall@1"].tolist() == [1] * 300


def _faded_sums() -> VectorTowers:
    return Towers(TowerConfig(content_width=6, whitened_width=3, factors=1, dim=4, hidden=5))


def _transformer() -> VectorTowers:
    return TransformerTowers(
        TransformerConfig(content_width=6, whitened_width=6, dim=4, width=8, layers=1, heads=2)
    )


@pytest.mark.parametrize("architecture", [_faded_sums, _transformer])
def test_tower_ranker_gives_the_cosine_of_user_and_item(
    architecture: Callable[[], VectorTowers],
) -> None:
    torch.manual_seed(0)
    towers, inputs = architecture(), torch.randn(5, 6)
    histories = [History.one_by_one([0, 3]), History.one_by_one([2])]

    scores = tower_ranker(towers, inputs)(histories)

    with torch.inference_mode():
        users, items = towers.users(inputs, histories), towers.items(inputs)
    np.testing.assert_allclose(scores, cosine_similarity(users.numpy(), items.numpy()), atol=1e-6)


def test_tower_ranker_ranks_a_catalogue_larger_than_a_chunk() -> None:
    torch.manual_seed(0)
    towers, inputs = _faded_sums(), torch.randn(4100, 6)

    (scores,) = tower_ranker(towers, inputs)([History.one_by_one([4099])])

    with torch.inference_mode():
        (user,) = towers.users(inputs[-1:], [History.one_by_one([0])])
        expected = [float(user @ towers.items(inputs[row, None])[0]) for row in (0, 4095, 4096)]
    np.testing.assert_allclose(scores[[0, 4095, 4096]], expected, atol=1e-6)
    assert scores.shape == (4100,)


def test_nobody_has_no_figures_but_a_number_of_users() -> None:
    table = compared({"popularity": popularity([], 3)}, [])

    assert table == {"popularity": {"users": 0, "users_unmasked": 0}}


def test_compared_reports_both_ways_for_every_ranker() -> None:
    ranker = popularity([History.one_by_one([0, 1])], 3)

    table = compared({"popularity": ranker}, [_case([0], [1])], k=1)

    assert table["popularity"] == {
        "recall@1": 1,
        "ndcg@1": 1,
        "users": 1,
        "recall@1_unmasked": 0,
        "ndcg@1_unmasked": 0,
        "users_unmasked": 1,
    }
