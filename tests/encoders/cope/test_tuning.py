"""Tuning of a tiny backbone on pictures whose hue is the product and whose shade is not."""

import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from encoders.backbones.image import ImageBackbone
from encoders.cope import tuning
from encoders.cope.tuning import NoPairs, PicturedItems, tune
from encoders.cope.tuning_judgement import MEAN, ranking
from encoders.settings import TuningConfig

pytestmark = pytest.mark.heavy

SCRIPT = Path(__file__).with_name("joint_tuning.py")
CONFIG = TuningConfig(steps=30, batch_size=16, learning_rate=1e-2)
SPUS = 24


def _script() -> ModuleType:
    spec = spec_from_file_location("joint_tuning", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _picture(file: Path, hue: float, shade: int, rng: np.random.Generator) -> dict[str, str]:
    pixels = np.empty((16, 16, 3), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = int(hue * 255), 160, shade
    noisy = np.clip(pixels + rng.normal(scale=8, size=pixels.shape), 0, 255).astype(np.uint8)
    Image.fromarray(noisy, "HSV").convert("RGB").save(file)
    return {"uri": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The start, the items and the settings of a tuning."""
    folder, rng = tmp_path_factory.mktemp("tuning"), np.random.default_rng(0)
    rows = [(spu, domain) for spu in range(SPUS) for domain in (0, 1)]
    pictures = [
        [_picture(folder / f"{spu}-{domain}.png", spu / SPUS, int(rng.integers(90, 255)), rng)]
        for spu, domain in rows
    ]
    spu_N, domain_N = zip(*rows, strict=True)
    items = {"pictures": pictures, "spu_N": spu_N, "domain_N": domain_N}
    items["spu_ids"] = [f"s{number}" for number in range(SPUS)]
    (folder / "items.json").write_text(json.dumps(items))
    (folder / "config.json").write_text(json.dumps(asdict(CONFIG)))
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 4, stride=2),
        torch.nn.Tanh(),
        # No bias: each side is centred, so its gradient would be rounding alone.
        torch.nn.Conv2d(6, 5, 4, stride=2, bias=False),
    )
    save_file(network.state_dict(), folder / "start.safetensors")
    return folder


@pytest.fixture(scope="module")
def items(folder: Path) -> PicturedItems:
    found: PicturedItems = _script().read_items(folder / "items.json")
    return found


@pytest.fixture
def start(folder: Path) -> Callable[[], ImageBackbone]:
    """Returns the backbone before it is tuned."""
    script = _script()
    return lambda: script.tiny_backbone(folder / "start.safetensors")


def _weights(backbone: ImageBackbone) -> dict[str, torch.Tensor]:
    assert backbone.network is not None
    return {name: tensor.clone() for name, tensor in backbone.network.state_dict().items()}


def _same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(left[name], right[name]) for name in left)


def test_a_tuned_backbone_finds_products_better(
    start: Callable[[], ImageBackbone], items: PicturedItems
) -> None:
    backbone = start()
    before = ranking(backbone, items)

    losses = tune(backbone, items, replace(CONFIG, steps=60))

    after = ranking(backbone, items)
    assert len(losses) == 60
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.5
    assert after[MEAN] > before[MEAN] + 0.1
    assert set(after) == {MEAN, "page>video R@1", "video>page R@1"}


def test_a_run_that_was_killed_goes_on_to_the_same_weights(
    start: Callable[[], ImageBackbone],
    items: PicturedItems,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tuning, "_CHECKPOINT_EVERY", 10)
    checkpoint = str(tmp_path / "tuning.safetensors")
    whole, killed, resumed = start(), start(), start()
    losses = tune(whole, items, CONFIG)

    def die(step: int, _: int) -> None:
        if step == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(killed, items, CONFIG, checkpoint=checkpoint, progress=die)
    steps: list[int] = []
    again = tune(
        resumed, items, CONFIG, checkpoint=checkpoint, progress=lambda step, _: steps.append(step)
    )

    assert steps[0] == 11
    assert again == losses
    assert _same(_weights(resumed), _weights(whole))


def test_two_processes_learn_what_one_does(
    start: Callable[[], ImageBackbone], items: PicturedItems, folder: Path
) -> None:
    alone = start()
    losses = tune(alone, items, CONFIG)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder)],
            env={**os.environ, **group, "RANK": str(number)},
        )
        for number in (0, 1)
    ]
    statuses = [process.wait(timeout=300) for process in started]

    assert statuses == [0, 0]
    tuned = [load_file(folder / f"tuned_{number}.safetensors") for number in (0, 1)]
    assert _same(*tuned)
    for name, tensor in _weights(alone).items():
        torch.testing.assert_close(tuned[0][name], tensor, atol=1e-4, rtol=1e-3)
    both = json.loads((folder / "losses_0.json").read_text())
    assert both == pytest.approx(losses, abs=1e-3)


def test_a_picture_that_cannot_be_read_is_left_out(
    start: Callable[[], ImageBackbone], items: PicturedItems
) -> None:
    gone = {"uri": "/nowhere.png", "sha256": "0" * 64}
    pictures = [[gone] if row < 4 else shown for row, shown in enumerate(items.pictures)]
    backbone = start()

    losses = tune(backbone, replace(items, pictures=pictures), replace(CONFIG, steps=3))

    assert np.isfinite(losses).all()
    assert all(bool(tensor.isfinite().all()) for tensor in _weights(backbone).values())


def test_nothing_to_learn_from_is_said(
    start: Callable[[], ImageBackbone], items: PicturedItems
) -> None:
    alone = replace(items, spu_N=torch.arange(2 * SPUS), spu_ids=[str(n) for n in range(2 * SPUS)])

    with pytest.raises(NoPairs, match="two products with two pictured items each; of 48"):
        tune(start(), alone, CONFIG)


def test_steps_in_bfloat16_leave_weights_in_float32(
    start: Callable[[], ImageBackbone], items: PicturedItems
) -> None:
    backbone = start()

    losses = tune(backbone, items, replace(CONFIG, steps=5), mixed=True)

    assert np.isfinite(losses).all()
    assert {tensor.dtype for tensor in _weights(backbone).values()} == {torch.float32}
    assert not _same(_weights(backbone), _weights(start()))
