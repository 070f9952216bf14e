"""A process of a joint tuning, of a tiny backbone: started by ``test_tuning.py``.

    python joint_tuning.py FOLDER

Reads ``items.json`` and ``config.json`` of the folder; writes the weights and the losses of its
rank.
"""

import json
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from encoders.backbones.image import ImageBackbone, ImagePreprocessing
from encoders.cope.tuning import PicturedItems, tune
from encoders.hardware import Hardware
from encoders.processes import joined
from encoders.settings import TuningConfig


def tiny_backbone(weights: Path) -> ImageBackbone:
    """Return a backbone of two convolutions."""
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 4, stride=2),
        torch.nn.Tanh(),
        torch.nn.Conv2d(6, 5, 4, stride=2, bias=False),
    )
    network.load_state_dict(load_file(weights))
    return ImageBackbone(
        "tiny",
        width=5,
        side=16,
        pixels=ImagePreprocessing(16, 16, (127.0,) * 3, (128.0,) * 3),
        forward=lambda x_BCHW: network(x_BCHW).mean(dim=(2, 3)),
        hardware=Hardware(torch.device("cpu"), torch.float32),
        network=network,
    )


def read_items(file: Path) -> PicturedItems:
    """Return the items that a file holds."""
    given = json.loads(file.read_text())
    return PicturedItems(
        pictures=given["pictures"],
        spu_N=torch.tensor(given["spu_N"]),
        domain_N=torch.tensor(given["domain_N"]),
        spu_ids=given["spu_ids"],
        domains=("page", "video", "live"),
    )


def main(folder: Path) -> None:
    config = TuningConfig(**json.loads((folder / "config.json").read_text()))
    backbone = tiny_backbone(folder / "start.safetensors")
    with joined():
        losses = tune(backbone, read_items(folder / "items.json"), config)
    assert backbone.network is not None
    number = os.environ["RANK"]
    save_file(backbone.network.state_dict(), folder / f"tuned_{number}.safetensors")
    (folder / f"losses_{number}.json").write_text(json.dumps(losses))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
