import numpy as np
import pytest
import torch

from encoders.cope.losses import cosface, info_nce
from encoders.settings import CopeConfig


def _unit(rows: int, width: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(rows, width))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _cross_entropy(logits: np.ndarray, targets: np.ndarray, smoothing: float) -> float:
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    soft = np.full(logits.shape, smoothing / logits.shape[1])
    soft[np.arange(len(logits)), targets] += 1 - smoothing
    return float(-(soft * log_p).sum(axis=1).mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_info_nce_is_the_mean_of_both_directions(smoothing: float) -> None:
    left, right = _unit(5, 7, 0), _unit(5, 7, 1)
    rows = np.arange(5)
    expected = (
        _cross_entropy(left @ right.T / 0.05, rows, smoothing)
        + _cross_entropy(right @ left.T / 0.05, rows, smoothing)
    ) / 2

    loss = info_nce(
        torch.from_numpy(left),
        torch.from_numpy(right),
        temperature=0.05,
        label_smoothing=smoothing,
    )

    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_info_nce_falls_when_pairs_come_together() -> None:
    left = torch.from_numpy(_unit(6, 8, 2))

    assert info_nce(left, left) < info_nce(left, left.roll(1, dims=0))


def test_by_default_a_start_that_tells_products_apart_is_not_undone() -> None:
    config = CopeConfig()
    emb = torch.eye(60, dtype=torch.float64).requires_grad_()

    info_nce(
        emb,
        emb.detach(),
        temperature=config.temperature,
        label_smoothing=config.label_smoothing,
    ).backward()  # type: ignore[no-untyped-call]

    assert emb.grad is not None
    others = emb.grad[~torch.eye(60, dtype=torch.bool)]
    assert (others > 0).all()  # a step of the optimiser takes each pair further from the others
    assert info_nce(emb, emb.roll(1, 0)) == info_nce(
        emb,
        emb.roll(1, 0),
        temperature=config.temperature,
        label_smoothing=config.label_smoothing,
    )


def test_cosface_takes_the_margin_off_the_right_class_alone() -> None:
    emb, classes = _unit(4, 6, 3), np.random.default_rng(4).normal(size=(5, 6))
    spus = np.array([0, 3, 3, 1])
    logits = emb @ (classes / np.linalg.norm(classes, axis=1, keepdims=True)).T
    logits[np.arange(4), spus] -= 0.4

    loss = cosface(torch.from_numpy(emb), torch.from_numpy(spus), torch.from_numpy(classes))

    assert loss.item() == pytest.approx(_cross_entropy(64 * logits, spus, 0.0), rel=1e-9)
