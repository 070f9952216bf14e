from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.artifacts import InvalidArtifact
from encoders.backbones.image import (
    ImageBackbone,
    image_weights_sha256,
    image_width,
    load_image_backbone,
)
from encoders.backbones.tuned import read_tuned, save_tuned
from encoders.backbones.weights import InvalidBackbone
from encoders.cope.features import feature_artifact, load_features
from encoders.hardware import Hardware
from encoders.settings import CopeConfig

BASE = "efficientnet-lite0"
CPU = Hardware(torch.device("cpu"), torch.float32)


def features(backbone: ImageBackbone) -> np.ndarray:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (64, 48, 3), dtype=np.uint8))
    return backbone.encode([backbone.pixels(picture)])


@pytest.fixture
def moved() -> ImageBackbone:
    """The base with other weights in its last layer."""
    backbone = load_image_backbone(BASE, CPU)
    assert backbone.network is not None
    with torch.no_grad():
        for name, parameter in backbone.network.named_parameters():
            if name.startswith("_conv_head"):
                parameter.mul_(1.5)
    return backbone


@pytest.fixture
def name(moved: ImageBackbone, tmp_path: Path) -> str:
    assert moved.network is not None
    return save_tuned(
        tmp_path / "tuned",
        moved.network,
        base=BASE,
        base_sha256=image_weights_sha256(BASE),
        about={"held_out": 0.25},
    )


def test_a_tuned_backbone_is_loaded_by_its_name(moved: ImageBackbone, name: str) -> None:
    loaded = load_image_backbone(name, CPU)

    np.testing.assert_array_equal(features(loaded), features(moved))
    assert np.abs(features(loaded) - features(load_image_backbone(BASE, CPU))).max() > 0.1
    assert (loaded.name, image_width(name)) == (name, 1280)
    assert read_tuned(name).about == {"held_out": 0.25}


def test_features_are_pinned_by_the_tuned_weights_and_what_is_said_of_them(name: str) -> None:
    artifact = feature_artifact(CopeConfig(image_backbones=(name,)))

    assert load_features(artifact).outputs["image_features"] == 1280
    settings = read_tuned(name).settings
    settings.write_text(settings.read_text().replace("0.25", "0.5"))
    with pytest.raises(InvalidArtifact, match=r"backbone\.json"):
        load_features(artifact)


def test_weights_of_another_network_are_refused(name: str, tmp_path: Path) -> None:
    other = load_image_backbone("efficientnet-lite2", CPU).network
    assert other is not None
    wrong = save_tuned(
        tmp_path / "wrong",
        other,
        base=BASE,
        base_sha256=image_weights_sha256(BASE),
        about={},
    )

    with pytest.raises(InvalidBackbone, match="should hold the weights of 'efficientnet-lite0'"):
        load_image_backbone(wrong, CPU)


def test_a_base_that_was_exchanged_is_refused(moved: ImageBackbone, tmp_path: Path) -> None:
    assert moved.network is not None
    stale = save_tuned(tmp_path / "stale", moved.network, base=BASE, base_sha256="0" * 64, about={})

    with pytest.raises(InvalidBackbone, match="sha256 should be 0000"):
        load_image_backbone(stale, CPU)


@pytest.mark.parametrize(
    "about", ["", "[]", "{}", '{"base": "tuned:x", "base_sha256": "0"}'], ids=repr
)
def test_a_folder_that_is_no_tuned_backbone_is_named(about: str, tmp_path: Path) -> None:
    (tmp_path / "backbone.json").write_text(about)

    with pytest.raises(InvalidBackbone, match=r"tuned:.* should "):
        image_width(f"tuned:{tmp_path}")


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidBackbone, match=r"'tuned:/nowhere' should be tuned:<folder>"):
        image_width("tuned:/nowhere")
