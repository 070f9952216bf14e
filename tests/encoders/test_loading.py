import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from encoders.artifacts import Artifact, InvalidArtifact, save_artifact
from encoders.cope.features import feature_artifact
from encoders.loading import load_encoder


@dataclass(frozen=True)
class Names:
    image_backbone: str = "efficientnet-lite0"
    text_backbone: str = "all-minilm-l6-v2"


def test_the_frozen_backbones_load_from_their_version(tmp_path: Path) -> None:
    artifact = feature_artifact(Names())
    encoder = load_encoder(save_artifact(artifact, str(tmp_path)), precision="float32")

    encoded = encoder.encode(
        {"domain": ["page"], "title": ["red phone"], "text": [None], "images": [None]}
    )

    assert encoder.version == artifact.version
    assert encoder.outputs == {"image_features": 1280, "text_features": 384}
    assert np.linalg.norm(encoded.vectors["text_features"]) == pytest.approx(1, abs=1e-5)


def test_backbones_with_other_weights_than_the_version_says_are_refused(tmp_path: Path) -> None:
    artifact = feature_artifact(Names())
    image = {"name": "efficientnet-lite0", "sha256": "0" * 64}
    other = dataclasses.replace(artifact, config={**artifact.config, "image_backbone": image})

    with pytest.raises(InvalidArtifact, match="sha256 should be 0000"):
        load_encoder(save_artifact(other, str(tmp_path)))


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    path = save_artifact(Artifact("odd", {"kind": "odd"}, {}, {}, {}, ""), str(tmp_path))

    with pytest.raises(InvalidArtifact, match="kind should be one of"):
        load_encoder(path)
