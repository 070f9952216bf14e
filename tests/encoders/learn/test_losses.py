"""Losses against plain numpy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from encoders.learn.batches import Batch
from encoders.learn.history import History
from encoders.learn.losses import (
    NEVER,
    known_candidates,
    log_inclusion,
    next_item_loss,
    rule_labels,
)

N = 7
Scores = NDArray[np.float32]

some_scores = st.tuples(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 150)).map(
    lambda drawn: np.random.default_rng(drawn[0]).normal(size=drawn[1:]).astype(np.float32)
)


def _batch(known: list[list[int]], targets: list[list[int]], new: list[bool]) -> Batch:
    return Batch(
        [History.one_by_one([0]) for _ in known],
        [np.array(items) for items in known],
        np.concatenate([np.array(items, np.int64) for items in targets]),
        np.repeat(np.arange(len(targets)), [len(items) for items in targets]),
        np.array(new),
    )


def test_candidates_that_a_user_knows_are_all_but_the_new_targets() -> None:
    batch = _batch([[0, 2, 5, 6], [3], [1, 4]], [[5, 2], [3], [4]], [True, True, True, False])
    candidates = np.array([1, 2, 3, 4, 5, 6])

    found = known_candidates(batch, candidates)

    assert [candidates[row].tolist() for row in found] == [[6], [], [1, 4]]


def test_log_inclusion_is_the_log_chance_to_be_drawn() -> None:
    popularity, rng = np.array([0.5, 0.1, 0.0, 0.4]), np.random.default_rng(0)
    batches = 20_000

    found = log_inclusion(popularity, targets=2, drawn_share=0.25)

    # So many targets come as events do, and so many candidates are drawn evenly: both Poisson.
    is_target = rng.poisson(2 * popularity, (batches, 4)) > 0
    is_drawn = rng.poisson(0.25, (batches, 4)) > 0
    np.testing.assert_allclose(found.exp(), (is_target | is_drawn).mean(axis=0), atol=0.015)


def test_an_item_without_an_event_has_the_chance_of_being_drawn_however_small() -> None:
    found = log_inclusion(np.array([0.0]), targets=512, drawn_share=1e-9)

    assert found.item() == pytest.approx(math.log(1e-9))
    assert found.dtype == torch.float32


@settings(deadline=None, max_examples=30)
@given(some_scores, st.floats(0, 1), st.integers(0, 99))
def test_labels_are_shares_of_candidates_that_are_not_excluded(
    scores: Scores, share: float, seed: int
) -> None:
    is_excluded = np.random.default_rng(seed).random(scores.shape) < share

    labels = rule_labels(scores, is_excluded).numpy()

    assert (labels >= 0).all()
    assert not labels[is_excluded].any()
    np.testing.assert_allclose(
        labels.sum(axis=1), (~is_excluded).any(axis=1).astype(float), atol=1e-5
    )
    assert ((labels > 0).sum(axis=1) == np.minimum((~is_excluded).sum(axis=1), 100)).all()


@settings(deadline=None, max_examples=30)
@given(some_scores, st.integers(1, 9))
def test_labels_equal_a_softmax_of_the_standardised_best(scores: Scores, best: int) -> None:
    labels = rule_labels(scores, np.zeros(scores.shape, bool), best=best).numpy()

    for found, row in zip(labels, scores.astype(np.float64), strict=True):
        top = np.argsort(-row)[:best]
        spread = max(row[top].std(), 1e-6)
        shares = np.exp((row[top] - row[top].mean()) / spread)
        expected = np.zeros(len(row))
        expected[top] = shares / shares.sum()
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_labels_do_not_depend_on_the_scale_of_a_users_scores() -> None:
    scores = np.float32([[1, 2, 4, 3]])
    nothing = np.zeros((1, 4), bool)

    torch.testing.assert_close(
        rule_labels(scores, nothing), rule_labels(1000 * scores + 5, nothing)
    )


@pytest.mark.parametrize("score", [0.0, 3.3, 1e6])
def test_equal_scores_have_equal_labels(score: float) -> None:
    labels = rule_labels(np.full((1, 4), score, np.float32), np.zeros((1, 4), bool))

    assert labels.tolist() == [[0.25] * 4]


def test_a_history_whose_every_candidate_is_excluded_has_no_label() -> None:
    scores = np.float32([[1, 2], [2, 1]])

    labels = rule_labels(scores, np.array([[True, True], [False, True]]))

    assert labels.tolist() == [[0, 0], [1, 0]]


def _drawn(rows: int = 4) -> tuple[Scores, Scores, NDArray[np.int64], NDArray[np.int64]]:
    """Return logits, labels, targets and their histories: from one to three each."""
    rng = np.random.default_rng(0)
    of_P = np.repeat(np.arange(rows), 1 + np.arange(rows) % 3)
    target_P = np.concatenate([rng.permutation(N)[: (of_P == row).sum()] for row in range(rows)])
    return (
        rng.normal(size=(rows, N)).astype(np.float32),
        rng.dirichlet(np.ones(N), rows).astype(np.float32),
        target_P,
        of_P,
    )


@pytest.mark.parametrize("rule_share", [0.0, 0.3, 1.0])
def test_the_loss_equals_plain_loops(rule_share: float) -> None:
    logits, labels, target_P, of_P = _drawn()

    loss = next_item_loss(
        torch.from_numpy(logits),
        torch.from_numpy(labels),
        target_P=torch.from_numpy(target_P),
        of_P=torch.from_numpy(of_P),
        rule_share=rule_share,
    )

    of_histories = []
    for row, (scores, label) in enumerate(zip(logits.astype(float), labels, strict=True)):
        surprise = [math.log(sum(math.exp(s) for s in scores)) - s for s in scores]
        met = [surprise[target] for target in target_P[of_P == row]]
        ranked = sum(float(p) * s for p, s in zip(label, surprise, strict=True))
        of_histories.append((1 - rule_share) * sum(met) / len(met) + rule_share * ranked)
    assert loss.item() == pytest.approx(sum(of_histories) / len(of_histories), rel=1e-5)


@pytest.mark.parametrize("rule_share", [0.0, 0.8, 1.0])
def test_excluded_candidates_change_neither_loss_nor_its_gradient_to_nan(
    rule_share: float,
) -> None:
    logits, _, target_P, of_P = _drawn()
    is_excluded = np.ones(logits.shape, bool)
    is_excluded[of_P, target_P] = False
    # Nothing is left of the last history, not even its target.
    is_excluded[-1] = True
    given_BC = torch.from_numpy(logits).requires_grad_(True)

    loss = next_item_loss(
        given_BC.masked_fill(torch.from_numpy(is_excluded), NEVER),
        rule_labels(logits, is_excluded),
        target_P=torch.from_numpy(target_P),
        of_P=torch.from_numpy(of_P),
        rule_share=rule_share,
    )
    loss.backward()  # type: ignore[no-untyped-call]

    assert loss.isfinite()
    assert given_BC.grad is not None
    assert given_BC.grad.isfinite().all()
    assert not given_BC.grad[torch.from_numpy(is_excluded)].any()


def test_an_excluded_candidate_does_not_count_in_the_loss() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.5]])
    target = {"target_P": torch.tensor([0]), "of_P": torch.tensor([0]), "rule_share": 0.5}

    masked = next_item_loss(
        torch.tensor([[1.0, NEVER, 0.5]]), torch.tensor([[0.4, 0.0, 0.6]]), **target
    )
    absent = next_item_loss(logits[:, [0, 2]], torch.tensor([[0.4, 0.6]]), **target)

    assert masked.item() == pytest.approx(absent.item())
