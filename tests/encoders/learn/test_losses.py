"""Losses against plain numpy, and recency weights against their formula."""

import math

import numpy as np
import pytest
import torch

from encoders.learn.losses import (
    dense_all_action_loss,
    known_targets,
    recency_weights,
    sampled_positions,
)


@pytest.mark.parametrize("length", [2, 7, 80])
def test_recency_weights_follow_the_formula(length: int) -> None:
    weights = recency_weights(length)

    expected = [math.log(10 + i * (10_000 - 10) / (length - 1)) for i in range(length)]
    np.testing.assert_allclose(weights, np.array(expected) / max(expected), rtol=1e-6)


def test_recency_weight_of_a_lone_event_is_one() -> None:
    assert recency_weights(1).tolist() == [1.0]


def test_sampled_positions_are_different_and_within_the_sequence() -> None:
    lengths = torch.tensor([3, 20, 1])

    sampled = sampled_positions(lengths, 5, generator=torch.Generator().manual_seed(0))

    assert sampled.valid_BP.sum(dim=1).tolist() == [3, 5, 1]
    for row, length in enumerate(lengths.tolist()):
        positions = sampled.index_BP[row][sampled.valid_BP[row]].tolist()
        assert len(set(positions)) == len(positions)
        assert max(positions) < length


def test_sampled_positions_prefer_the_newest_by_their_weights() -> None:
    lengths = torch.full((20_000,), 4)

    sampled = sampled_positions(lengths, 1, generator=torch.Generator().manual_seed(0))

    share = np.bincount(sampled.index_BP.flatten(), minlength=4) / len(lengths)
    np.testing.assert_allclose(share, recency_weights(4) / recency_weights(4).sum(), atol=0.02)


def test_sampled_positions_are_even_without_recency() -> None:
    lengths = torch.full((20_000,), 4)

    sampled = sampled_positions(
        lengths, 1, generator=torch.Generator().manual_seed(0), recency=False
    )

    share = np.bincount(sampled.index_BP.flatten(), minlength=4) / len(lengths)
    np.testing.assert_allclose(share, 0.25, atol=0.02)


def test_known_targets_are_those_in_history_or_target_of_the_user() -> None:
    items = torch.tensor([[4, 7], [5, 4], [9, -2]])
    known = torch.tensor([[4, 7, 1], [5, 4, -1], [9, 7, -1]])

    masked = known_targets(items, known)

    assert masked.tolist() == [
        [True, True, False, True, False, False],
        [True, False, True, True, False, False],
        [False, True, False, False, True, False],
    ]


def test_dense_all_action_loss_equals_plain_loops() -> None:
    rng = np.random.default_rng(0)
    users, targets = (_unit(rng.normal(size=(4, 3, 8))) for _ in range(2))
    valid_users, valid_targets = rng.random((4, 3)) < 0.7, rng.random((4, 3)) < 0.7
    valid_users[:, 0] = valid_targets[:, 0] = True
    masked = rng.random((4, 12)) < 0.2

    loss = dense_all_action_loss(
        torch.tensor(users),
        torch.tensor(targets),
        valid=(torch.tensor(valid_users), torch.tensor(valid_targets)),
        masked_BM=torch.tensor(masked),
        temperature=0.05,
    )

    expected = []
    for u in range(4):
        for p in np.flatnonzero(valid_users[u]):
            negatives = [
                math.exp(users[u, p] @ targets[v, q] / 0.05)
                for v in range(4)
                for q in range(3)
                if v != u and valid_targets[v, q] and not masked[u, v * 3 + q]
            ]
            for q in np.flatnonzero(valid_targets[u]):
                positive = math.exp(users[u, p] @ targets[u, q] / 0.05)
                expected.append(-math.log(positive / (positive + sum(negatives))))
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-6)


def test_dense_all_action_loss_has_a_finite_gradient_without_negatives() -> None:
    users = torch.tensor(_unit(np.ones((1, 2, 4))), requires_grad=True)
    all_there = torch.ones(1, 2, dtype=torch.bool)

    loss = dense_all_action_loss(
        users,
        users,
        valid=(all_there, all_there),
        masked_BM=torch.zeros(1, 2, dtype=torch.bool),
        temperature=0.05,
    )
    loss.backward()

    assert loss.item() == 0
    assert users.grad is not None
    assert users.grad.isfinite().all()


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)
