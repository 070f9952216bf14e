"""Processes that train together: two have the gradients of one, and a killed group resumes."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from encoders.learn import training_run
from encoders.learn.batches import Batch, shuffled_batches
from encoders.learn.history import History
from encoders.learn.rules import Rules
from encoders.learn.towers import Towers, tower_config
from encoders.learn.training import Trained, train
from encoders.learn.training_run import TrainingRun
from encoders.learn.whitening import fitted_whitening
from encoders.processes import add_up, agreed, group_size, rank
from encoders.settings import LearnConfig

pytestmark = pytest.mark.heavy

N_ITEMS = 40
CONFIG = LearnConfig(
    dim=16,
    hidden=16,
    factors=8,
    whitened_width=16,
    max_history=20,
    epochs=2,
    batch_size=33,
    candidates=30,
    patience=9,
)


@pytest.fixture(scope="module")
def contents() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(N_ITEMS, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def histories() -> list[History]:
    """Walks of seven steps along a ring of items."""
    starts = np.random.default_rng(1).integers(N_ITEMS, size=40)
    return [History.one_by_one((start + np.arange(7)) % N_ITEMS) for start in starts]


@pytest.fixture(scope="module")
def alone(contents: NDArray[np.float32], histories: list[History], one_thread: None) -> Trained:
    """A training in one process."""
    watched_from = [len(history) - 2 for history in histories]
    return train(contents, histories, CONFIG, watched_from=watched_from, device="cpu")


def _folder(path: Path, contents: NDArray[np.float32], histories: list[History]) -> Path:
    items = np.stack([history.items for history in histories])
    np.savez(path / "world.npz", contents=contents, histories=items)
    (path / "config.json").write_text(json.dumps(asdict(replace(CONFIG, processes=2))))
    return path


def _statuses(folder: Path, *arguments: str) -> list[int]:
    """Train in two processes; return their exit statuses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    script = Path(__file__).with_name("joint_training.py")
    started = [
        subprocess.Popen(
            [sys.executable, str(script), str(folder), *arguments],
            env={**os.environ, **group, "RANK": str(number)},
        )
        for number in (0, 1)
    ]
    return [process.wait(timeout=300) for process in started]


def test_outside_of_a_group_there_is_one_process() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    loss = parameter.sum()
    loss.backward()  # type: ignore[no-untyped-call]

    assert (rank(), group_size(), agreed(0.1)) == (0, 1, 0.1)
    assert add_up([parameter], loss) == 2.0
    assert parameter.grad is not None
    assert parameter.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("shares", [1, 2, 3, 50])
def test_shares_of_a_batch_are_all_of_it_in_order(histories: list[History], shares: int) -> None:
    batch = next(_batches(histories))

    parts = [batch.share(number, shares) for number in range(shares)]

    assert [h for part in parts for h in part.histories] == list(batch.histories)
    assert max(len(p.histories) for p in parts) - min(len(p.histories) for p in parts) <= 1
    starts = np.cumsum([0, *(len(part.histories) for part in parts)])
    of = np.concatenate([part.of_P + start for part, start in zip(parts, starts, strict=False)])
    np.testing.assert_array_equal(of, batch.of_P)
    targets = np.concatenate([part.target_P for part in parts])
    np.testing.assert_array_equal(targets, batch.target_P)
    np.testing.assert_array_equal(np.concatenate([part.is_new_P for part in parts]), batch.is_new_P)


def _batches(histories: list[History]) -> Iterator[Batch]:
    return shuffled_batches(histories, batch_size=33, cuts_per_user=16, max_history=9, seed=(0, 1))


@pytest.mark.parametrize("repeats", [False, True], ids=["new items", "usual repeats"])
@pytest.mark.parametrize("shares", [2, 3, 40])
def test_gradients_of_all_shares_add_up_to_those_of_the_batch(
    contents: NDArray[np.float32],
    histories: list[History],
    monkeypatch: pytest.MonkeyPatch,
    shares: int,
    repeats: bool,
) -> None:
    known = [History.one_by_one([*h.items, *h.items[:4]]) if repeats else h for h in histories]
    run = _run(contents, known)
    assert run.repeats_are_usual == repeats
    batch = next(_batches(known))

    def gradients(number: int, of: int) -> dict[str, torch.Tensor]:
        monkeypatch.setattr(training_run, "rank", lambda: number)
        monkeypatch.setattr(training_run, "group_size", lambda: of)
        run.towers.zero_grad()
        loss = run._loss(batch, np.random.default_rng(5))
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        return {
            name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for name, p in run.towers.named_parameters()
        }

    whole = gradients(0, 1)
    parts = [gradients(number, shares) for number in range(shares)]

    assert any(gradient.any() for gradient in whole.values())
    for name, gradient in whole.items():
        torch.testing.assert_close(sum(part[name] for part in parts), gradient, msg=name)


def _run(contents: NDArray[np.float32], histories: list[History]) -> TrainingRun:
    torch.manual_seed(0)
    content = torch.from_numpy(contents)
    whitening = fitted_whitening(content, max_width=16, ridge=0.03)
    towers = Towers(tower_config(CONFIG, *whitening.map_CK.shape))
    towers.use(whitening)
    rules = Rules(whitening(content), histories)
    return TrainingRun(towers, content, histories, rules, CONFIG, teacher="neighbour_blend")


@pytest.fixture(scope="module")
def together(
    contents: NDArray[np.float32],
    histories: list[History],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folder of a training in two processes that nothing interrupted."""
    folder = _folder(tmp_path_factory.mktemp("together"), contents, histories)
    assert _statuses(folder) == [0, 0]
    return folder


def test_two_processes_come_to_the_towers_of_one(alone: Trained, together: Path) -> None:
    first, second = (load_file(together / f"trained_{number}.safetensors") for number in (0, 1))

    for name, weight in alone.towers.state_dict().items():
        assert torch.equal(first[name], second[name]), name
        # What is added to all items alike changes no loss: AdamW makes noise of the rounding.
        if name not in ("key.norm.bias", "key.residual.bias", "popularity.bias", "longest_key"):
            torch.testing.assert_close(first[name], weight, rtol=1e-4, atol=1e-5, msg=name)
    curves = [json.loads((together / f"curve_{number}.json").read_text()) for number in (0, 1)]
    assert curves[0] == curves[1]
    for row, expected in zip(curves[0], alone.curve, strict=True):
        assert row == pytest.approx(expected, abs=1e-4)
    assert not list(together.glob("checkpoint*"))


@pytest.mark.parametrize(("epochs", "run"), [(1, "watched"), (3, "final")])
def test_a_group_that_was_killed_resumes(
    contents: NDArray[np.float32],
    histories: list[History],
    together: Path,
    tmp_path: Path,
    epochs: int,
    run: str,
) -> None:
    killed = _folder(tmp_path, contents, histories)
    assert _statuses(killed, str(epochs)) == [9, 9]
    assert (killed / f"checkpoint.{run}").exists()

    assert _statuses(killed) == [0, 0]

    expected = load_file(together / "trained_0.safetensors")
    for name, weight in load_file(killed / "trained_0.safetensors").items():
        assert torch.equal(weight, expected[name]), name
    assert not list(killed.glob("checkpoint*"))
