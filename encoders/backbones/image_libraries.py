"""Image backbones that open_clip and transformers build, with those libraries' preprocessing.

Safetensors weights alone, and no code from a hub. Names are those of ``image.py``.

Shapes: B pictures, C channels, H height, W width, T tokens, D features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from encoders.backbones import open_clip_models
from encoders.backbones.open_clip_models import is_open_clip
from encoders.backbones.weights import InvalidBackbone, folder_weights, model_folder
from encoders.hardware import Hardware

_CLASS_TOKENS = ("cls_token", "class_embedding")
# Libraries resize whole pictures: one of 5 x 10,000,000 pixels would take all memory.
_LONGEST_TO_SHORTEST = 8

ToPixels = Callable[[Image.Image], torch.Tensor]
Forward = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Loaded:
    """A network on its device; the attributes are those of ``ImageBackbone``."""

    width: int
    side: int
    pixels: ToPixels
    forward: Forward
    network: torch.nn.Module


def load(name: str, hardware: Hardware) -> Loaded:
    """Load a backbone by name.

    Raises:
        InvalidBackbone: unknown name, missing weights, or a folder that its library cannot read.
    """
    return _open_clip(name, hardware) if is_open_clip(name) else _folder(name, hardware)


def width(name: str) -> int:
    """Return the width of the features, without loading weights."""
    if is_open_clip(name):
        return open_clip_models.width(name)
    from transformers import AutoConfig

    return _hidden_size(AutoConfig.from_pretrained(model_folder(name)))


def weight_files(name: str) -> list[Path]:
    """Return the files that hold the weights."""
    if is_open_clip(name):
        return open_clip_models.weight_files(name)
    return folder_weights(model_folder(name))


def settings_files(name: str) -> list[Path]:
    """Return the files that settle architecture and preprocessing."""
    if is_open_clip(name):
        return open_clip_models.settings_files(name)
    return sorted(model_folder(name).glob("*.json"))


def to_hardware(network: torch.nn.Module, hardware: Hardware) -> None:
    """Freeze a network and move it to a device and precision."""
    network.requires_grad_(False)
    network.to(device=hardware.device, dtype=hardware.dtype)
    network.to(memory_format=torch.channels_last)


def bounded(picture: Image.Image) -> Image.Image:
    """Return the middle of a picture that is very long or very wide; others as they are."""
    longest = _LONGEST_TO_SHORTEST * min(picture.size)
    if max(picture.size) <= longest:
        return picture
    left, top = (max(0, (side - longest) // 2) for side in picture.size)
    right, bottom = min(picture.width, left + longest), min(picture.height, top + longest)
    return picture.crop((left, top, right, bottom))


def _open_clip(name: str, hardware: Hardware) -> Loaded:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    visual = open_clip_models.load_model(name).visual
    to_hardware(visual, hardware)
    preprocessing = PreprocessCfg(**visual.preprocess_cfg)
    transform = image_transform_v2(preprocessing, is_train=False)
    size = preprocessing.size
    return Loaded(
        width=int(visual.output_dim),
        side=size if isinstance(size, int) else min(size),
        pixels=lambda picture: transform(bounded(picture)),
        forward=visual,
        network=visual,
    )


def _folder(name: str, hardware: Hardware) -> Loaded:
    from transformers import AutoImageProcessor, AutoModel

    folder = model_folder(name)
    if not (folder / "preprocessor_config.json").is_file():
        raise InvalidBackbone(
            f"image backbone {str(folder)!r} should hold preprocessor_config.json."
        )
    processor = AutoImageProcessor.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, use_safetensors=True).eval()
    network = getattr(model, "vision_model", model)
    to_hardware(network, hardware)
    has_class_token = any(key.endswith(_CLASS_TOKENS) for key, _ in network.named_parameters())

    def pixels(picture: Image.Image) -> torch.Tensor:
        x_BCHW: torch.Tensor = processor(images=bounded(picture), return_tensors="pt").pixel_values
        return x_BCHW[0]

    def forward(x_BCHW: torch.Tensor) -> torch.Tensor:
        return _pooled(network(pixel_values=x_BCHW), has_class_token=has_class_token)

    sides = [side for side in dict(processor.size).values() if side]
    return Loaded(_hidden_size(model.config), min(sides, default=224), pixels, forward, network)


def _pooled(output: Any, *, has_class_token: bool) -> torch.Tensor:
    """Return the features [B, D] of a vision model's output."""
    states: torch.Tensor = output.last_hidden_state
    if has_class_token:
        # Not the pooler's output: with a class token, poolers are often left untrained.
        return states[:, 0]
    pooler: torch.Tensor | None = getattr(output, "pooler_output", None)
    if pooler is not None:
        return pooler.flatten(1)
    return states.mean(dim=(2, 3) if states.ndim == 4 else 1)


def _hidden_size(config: Any) -> int:
    """Return the width of a vision model's states; convolutional ones give one a stage."""
    vision = getattr(config, "vision_config", config)
    sizes = getattr(vision, "hidden_sizes", None)
    return int(sizes[-1] if sizes else vision.hidden_size)
