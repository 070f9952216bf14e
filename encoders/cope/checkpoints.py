"""Checkpoints: all that the next epoch of a training depends on, in one safetensors file."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import fsspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from encoders.cope.sampling import CopeData

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class Checkpoint:
    """State of a training after some epoch.

    Attributes:
        fingerprint: of the data and the config; a checkpoint of others is not resumed from.
        curve: figures of each epoch so far.
        best_epoch: whose weights are kept.
        tensors: weights, best weights and optimiser state, by name.
    """

    fingerprint: str
    curve: list[dict[str, float]]
    best_epoch: int
    tensors: Mapping[str, torch.Tensor]


def save_checkpoint(checkpoint: Checkpoint, path: str) -> None:
    """Write a checkpoint; a kill at any moment leaves the old one or the new one."""
    said = {
        "fingerprint": checkpoint.fingerprint,
        "curve": checkpoint.curve,
        "best_epoch": checkpoint.best_epoch,
    }
    tensors = {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}
    content = save_tensors(tensors, metadata={"training": json.dumps(said)})
    filesystem, file = fsspec.url_to_fs(path)
    filesystem.makedirs(file.rsplit("/", 1)[0], exist_ok=True)
    filesystem.pipe_file(f"{file}.part", content)
    filesystem.mv(f"{file}.part", file)


def load_checkpoint(path: str, fingerprint: str) -> Checkpoint | None:
    """Return the checkpoint of this very training; None where there is none that can be used."""
    filesystem, file = fsspec.url_to_fs(path)
    try:
        content: bytes = filesystem.cat_file(file)
        tensors = load_tensors(content)
    except (FileNotFoundError, SafetensorError):
        return None
    # A safetensors file opens with the length of its JSON header.
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    said = json.loads(header["__metadata__"]["training"])
    if said["fingerprint"] != fingerprint:
        return None
    return Checkpoint(fingerprint, said["curve"], said["best_epoch"], tensors)


def training_fingerprint(data: CopeData, config: "DataclassInstance") -> str:
    """Return the hash of all that a training depends on."""
    digest = hashlib.sha256(json.dumps([asdict(config), list(data.spu_ids)]).encode())
    for tensor in (data.items.domain_B, data.items.image_BI, data.items.text_BT, data.spu_N):
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def part_of(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the tensors whose name starts with ``prefix``, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
