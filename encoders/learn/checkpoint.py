"""Checkpoint: how far was training when it was killed?

One safetensors file, moved into place whole: a kill while it is written leaves the one before.
No pickle.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import fsspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

_STATE = "state"


@dataclass(frozen=True)
class Checkpoint:
    """State after an epoch.

    Attributes:
        run: hash of all that decides how training goes.
        epoch: how many are finished.
        curve: figures of each epoch, the untrained towers first.
        tensors: weights, best weights and the optimizer's state.
    """

    run: str
    epoch: int
    curve: list[dict[str, float]] = field(default_factory=list)
    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)


def write_checkpoint(path: str, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint at ``path``, on any fsspec location."""
    state = {"run": checkpoint.run, "epoch": checkpoint.epoch, "curve": checkpoint.curve}
    content = save_tensors(dict(checkpoint.tensors), metadata={_STATE: json.dumps(state)})
    filesystem, target = fsspec.url_to_fs(path)
    filesystem.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
    filesystem.pipe_file(f"{target}.part", content)
    filesystem.mv(f"{target}.part", target)


def read_checkpoint(path: str, run: str) -> Checkpoint | None:
    """Return the checkpoint of this run at ``path``; None where there is none."""
    filesystem, target = fsspec.url_to_fs(path)
    try:
        content: bytes = filesystem.cat_file(target)
        tensors = load_tensors(content)
        (header_size,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + header_size])
        state = json.loads(header["__metadata__"][_STATE])
    except (FileNotFoundError, SafetensorError, KeyError, json.JSONDecodeError):
        return None
    if state["run"] != run:
        return None
    return Checkpoint(run, state["epoch"], state["curve"], tensors)


def remove_checkpoint(path: str) -> None:
    """Remove a checkpoint whose training is done, if there is one."""
    filesystem, target = fsspec.url_to_fs(path)
    if filesystem.exists(target):
        filesystem.rm_file(target)
