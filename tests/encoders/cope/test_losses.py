import numpy as np
import pytest
import torch

from encoders.cope.losses import cosface, info_nce


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


def test_cosface_takes_the_margin_off_the_right_class_alone() -> None:
    emb, classes = _unit(4, 6, 3), np.random.default_rng(4).normal(size=(5, 6))
    spus = np.array([0, 3, 3, 1])
    logits = emb @ (classes / np.linalg.norm(classes, axis=1, keepdims=True)).T
    logits[np.arange(4), spus] -= 0.4

    loss = cosface(torch.from_numpy(emb), torch.from_numpy(spus), torch.from_numpy(classes))

    assert loss.item() == pytest.approx(_cross_entropy(64 * logits, spus, 0.0), rel=1e-9)
