import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from encoders.backbones.image import (
    ImageBackbone,
    ImagePreprocessing,
    image_weights_sha256,
    image_width,
    load_image_backbone,
    weight_files,
)
from encoders.backbones.image_libraries import bounded
from encoders.backbones.weights import InvalidBackbone
from encoders.hardware import Hardware


def _pictures(count: int, side: int) -> list[Image.Image]:
    drawn = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return [Image.fromarray(pixels) for pixels in drawn]


def _features(backbone: ImageBackbone, pictures: list[Image.Image]) -> np.ndarray:
    return backbone.encode([backbone.pixels(picture) for picture in pictures])


def test_pixels_keep_the_centre_of_the_shorter_side() -> None:
    picture = Image.new("RGB", (64, 32), "black")
    picture.paste("white", (16, 0, 48, 32))

    pixels = ImagePreprocessing(16, 16, (0, 0, 0), (1, 1, 1)).cropped(picture)

    assert pixels.shape == (16, 16, 3)
    assert (pixels[:, 2:-2] == 255).all()


def test_a_very_long_picture_costs_no_more_than_a_square_one() -> None:
    picture = Image.new("RGB", (2, 2_000_000), "red")

    pixels = ImagePreprocessing(256, 224, (0, 0, 0), (1, 1, 1)).cropped(picture)

    assert (pixels == [255, 0, 0]).all()


@pytest.mark.parametrize(
    ("name", "resize", "crop"), [("efficientnet-lite0", 256, 224), ("efficientnet-lite2", 292, 260)]
)
def test_efficientnet_sorts_pictures_as_the_unfused_network_does(
    cpu: Hardware, name: str, resize: int, crop: int
) -> None:
    from efficientnet_lite_pytorch import EfficientNet

    backbone = load_image_backbone(name, cpu)
    network = EfficientNet.from_name(name).eval()
    network.load_state_dict(torch.load(weight_files(name)[0], weights_only=True))
    pictures = _pictures(2, 300)
    pixels = np.stack(
        [ImagePreprocessing(resize, crop, (0, 0, 0), (1, 1, 1)).cropped(each) for each in pictures]
    )
    x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.inference_mode():
        expected = network.extract_features(x).mean(dim=(2, 3))

    found = _features(backbone, pictures)

    assert found.shape == (2, backbone.width) == (2, 1280)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    np.testing.assert_allclose(found[1:], _features(backbone, pictures[1:]), atol=1e-5)


def test_a_folder_gives_the_class_token_of_pictures_that_its_processor_prepared(
    vision_folder: Path, cpu: Hardware
) -> None:
    from transformers import AutoImageProcessor, AutoModel

    pictures = _pictures(3, 48)
    processor = AutoImageProcessor.from_pretrained(vision_folder)
    network = AutoModel.from_pretrained(vision_folder)
    with torch.inference_mode():
        states = network(**processor(images=pictures, return_tensors="pt")).last_hidden_state

    backbone = load_image_backbone(str(vision_folder), cpu)

    assert backbone.width == image_width(str(vision_folder)) == 16
    np.testing.assert_allclose(_features(backbone, pictures), states[:, 0].numpy(), atol=1e-5)
    alone = [_features(backbone, [picture])[0] for picture in pictures]
    np.testing.assert_allclose(_features(backbone, pictures), np.stack(alone), atol=1e-5)


def test_a_convolutional_folder_gives_pooled_maps(tmp_path: Path, cpu: Hardware) -> None:
    from transformers import ConvNextConfig, ConvNextImageProcessor, ConvNextModel

    config = ConvNextConfig(depths=[1, 1, 1, 1], hidden_sizes=[4, 4, 8, 12], image_size=64)
    ConvNextModel(config).save_pretrained(tmp_path)
    ConvNextImageProcessor(size={"shortest_edge": 64}).save_pretrained(tmp_path)

    backbone = load_image_backbone(str(tmp_path), cpu)

    assert image_width(str(tmp_path)) == 12
    assert _features(backbone, _pictures(2, 40)).shape == (2, 12)


def test_a_library_gets_the_middle_of_a_picture_that_is_very_long() -> None:
    picture = Image.new("RGB", (2, 2_000_000), "red")
    picture.paste("blue", (0, 999_990, 2, 1_000_010))

    middle = bounded(picture)

    assert middle.size == (2, 16)
    assert middle.getcolors() == [(32, (0, 0, 255))]
    square = Image.new("RGB", (4, 4))
    assert bounded(square) is square


def test_open_clip_builds_from_an_architecture_of_its_own(
    tmp_path: Path, tiny_clip: Mapping[str, object], cpu: Hardware
) -> None:
    weights = tmp_path / "tiny.safetensors"
    architecture = tmp_path / "tiny-clip.json"
    architecture.write_text(json.dumps(tiny_clip))
    open_clip.add_model_config(architecture)
    save_file(open_clip.create_model("tiny-clip").state_dict(), weights)
    pictures = _pictures(2, 32)

    named = load_image_backbone(f"open_clip:tiny-clip:{weights}", cpu)
    from_file = load_image_backbone(f"open_clip:{architecture}:{weights}", cpu)

    assert image_width(f"open_clip:{architecture}:{weights}") == 8
    assert _features(named, pictures).shape == (2, 8)
    np.testing.assert_array_equal(_features(named, pictures), _features(from_file, pictures))


def test_an_open_clip_folder_is_prepared_and_encoded_by_open_clip(
    clip_folder: Path, cpu: Hardware
) -> None:
    network, transform = open_clip.create_model_from_pretrained(f"local-dir:{clip_folder}")
    pictures = _pictures(2, 40)
    with torch.inference_mode():
        expected = network.eval().encode_image(torch.stack([transform(p) for p in pictures]))

    backbone = load_image_backbone(f"open_clip:{clip_folder}", cpu)

    assert (backbone.width, backbone.side) == (8, 32)
    np.testing.assert_allclose(_features(backbone, pictures), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("open_clip:ViT-B-32:/no/such.safetensors", "existing .safetensors file"),
        ("open_clip:ViT-B-32", "open_clip:<architecture>"),
        ("no such/model/at all", "neither a folder nor"),
    ],
)
def test_unknown_backbones_say_what_would_do(name: str, said: str) -> None:
    with pytest.raises(InvalidBackbone, match=said):
        image_weights_sha256(name)


def test_weights_with_another_hash_are_refused(vision_folder: Path, cpu: Hardware) -> None:
    with pytest.raises(InvalidBackbone, match="sha256 should be 0000"):
        load_image_backbone(str(vision_folder), cpu, sha256="0" * 64)


def test_a_folder_of_pickled_weights_is_refused(tmp_path: Path, cpu: Hardware) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")

    with pytest.raises(InvalidBackbone, match=r"no \*\.safetensors"):
        load_image_backbone(str(tmp_path), cpu)
