"""Tuned backbones: a backbone of another name with weights that were trained further.

``tuned:<folder>``: ``backbone.json`` (the base's name, the hash of its weights, what it was tuned
on) and ``model.safetensors`` (all weights of the network, as the base's loader builds it).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from encoders.backbones.weights import InvalidBackbone

PREFIX = "tuned:"
_ABOUT = "backbone.json"
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Tuned:
    """What a tuned backbone's folder says.

    Attributes:
        base: name of the backbone that it started from, and hash of that one's weights.
        about: what it was tuned on, and how well it ranks.
    """

    folder: Path
    base: str
    base_sha256: str
    about: Mapping[str, Any]

    @property
    def weights(self) -> Path:
        return self.folder / _WEIGHTS

    @property
    def settings(self) -> Path:
        return self.folder / _ABOUT


def is_tuned(name: str) -> bool:
    """Return whether a backbone is named as a tuned one."""
    return name.startswith(PREFIX)


def read_tuned(name: str) -> Tuned:
    """Return what the folder of a tuned backbone says.

    Raises:
        InvalidBackbone: it lacks a file, or does not name its base.
    """
    folder = Path(name.removeprefix(PREFIX))
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        found = Tuned(folder, about.pop("base"), about.pop("base_sha256"), about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidBackbone(
            f"backbone {name!r} should be {PREFIX}<folder>, with {_WEIGHTS} and a {_ABOUT} that "
            f"gives base and base_sha256; {type(error).__name__}: {error}."
        ) from error
    if is_tuned(found.base) or not found.weights.is_file():
        raise InvalidBackbone(
            f"backbone {name!r} should hold {_WEIGHTS}, and its base should be no tuned one, but "
            f"is {found.base!r}."
        )
    return found


def load_weights(found: Tuned, network: torch.nn.Module) -> None:
    """Give the network of the base the tuned weights.

    Raises:
        InvalidBackbone: they are those of another network, or no safetensors.
    """
    try:
        network.load_state_dict(load_file(found.weights))
    except (RuntimeError, SafetensorError) as error:
        raise InvalidBackbone(
            f"{str(found.weights)!r} should hold the weights of {found.base!r}, but: {error}"
        ) from error


def save_weights(network: torch.nn.Module, file: Path) -> None:
    """Write all weights of a network in float32."""
    weights = {
        name: tensor.detach().float().cpu().contiguous()
        for name, tensor in network.state_dict().items()
    }
    save_file(weights, file)


def save_tuned(
    folder: Path, network: torch.nn.Module, *, base: str, base_sha256: str, about: Mapping[str, Any]
) -> str:
    """Write a tuned backbone into a folder, which is made; return its name."""
    folder.mkdir(parents=True)
    save_weights(network, folder / _WEIGHTS)
    text = json.dumps({"base": base, "base_sha256": base_sha256, **about}, indent=2, sort_keys=True)
    (folder / _ABOUT).write_text(f"{text}\n", encoding="utf-8")
    return f"{PREFIX}{folder}"
