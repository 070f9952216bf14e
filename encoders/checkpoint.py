"""Checkpoints: the state of a training after each epoch, from which a killed one resumes.

One safetensors file on any fsspec location, moved into place whole: a kill while it is written
leaves the one before. No pickle.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import fsspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

_METADATA = "training"


@dataclass(frozen=True)
class Checkpoint:
    """All that the next epoch depends on.

    Attributes:
        run: hash of all that decides how the training goes: its data and its settings.
        state: what is no tensor, such as the figures of each epoch; it must survive JSON.
        tensors: weights, best weights and the optimizer's state, by name.
    """

    run: str
    state: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]

    def part(self, prefix: str) -> dict[str, torch.Tensor]:
        """Return the tensors whose name starts with ``prefix``, without it."""
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return an optimizer's state by names; ``restore_optimizer`` takes it back."""
    return {
        f"optimizer.{number}.{name}": value
        for number, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: Checkpoint) -> None:
    """Give an optimizer the state that a checkpoint holds."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in saved.part("optimizer.").items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def write_checkpoint(path: str, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint at ``path``."""
    state = {"run": checkpoint.run, "state": checkpoint.state}
    tensors = {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}
    content = save_tensors(tensors, metadata={_METADATA: json.dumps(state)})
    filesystem, target = fsspec.url_to_fs(path)
    filesystem.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
    filesystem.pipe_file(f"{target}.part", content)
    filesystem.mv(f"{target}.part", target)


def read_checkpoint(path: str, run: str) -> Checkpoint | None:
    """Return the checkpoint of this very run; None where there is none that can be used."""
    filesystem, target = fsspec.url_to_fs(path)
    try:
        content: bytes = filesystem.cat_file(target)
        tensors = load_tensors(content)
        # A safetensors file opens with the length of its JSON header.
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        saved = json.loads(header["__metadata__"][_METADATA])
    except (FileNotFoundError, SafetensorError, KeyError, json.JSONDecodeError):
        return None
    return Checkpoint(run, saved["state"], tensors) if saved["run"] == run else None


def remove_checkpoint(path: str) -> None:
    """Remove a checkpoint whose training is done, if there is one."""
    filesystem, target = fsspec.url_to_fs(path)
    if filesystem.exists(target):
        filesystem.rm_file(target)
