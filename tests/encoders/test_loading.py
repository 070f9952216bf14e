import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from encoders import loading
from encoders.artifacts import Artifact, InvalidArtifact, read_info, save_artifact
from encoders.cope.features import feature_artifact
from encoders.loading import load_encoder
from encoders.protocol import Batch, Encoded
from encoders.settings import CopeConfig

ONE_BACKBONE = CopeConfig(image_backbones=("efficientnet-lite0",))


def test_the_frozen_backbones_load_from_their_version(tmp_path: Path) -> None:
    artifact = feature_artifact(ONE_BACKBONE)
    encoder = load_encoder(save_artifact(artifact, str(tmp_path)), precision="float32")

    encoded = encoder.encode(
        {"domain": ["page"], "title": ["red phone"], "text": [None], "images": [None]}
    )

    assert encoder.version == artifact.version
    assert encoder.outputs == {"image_features": 1280, "text_features": 384}
    assert np.linalg.norm(encoded.vectors["text_features"]) == pytest.approx(1, abs=1e-5)


def test_backbones_with_other_weights_than_the_version_says_are_refused(tmp_path: Path) -> None:
    artifact = feature_artifact(ONE_BACKBONE)
    image = {"name": "efficientnet-lite0", "sha256": "0" * 64}
    other = dataclasses.replace(artifact, config={**artifact.config, "image_backbone": image})

    with pytest.raises(InvalidArtifact, match="sha256 should be 0000"):
        load_encoder(save_artifact(other, str(tmp_path)))


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    path = save_artifact(Artifact("odd", {"kind": "odd"}, {}, {}, {}, ""), str(tmp_path))

    with pytest.raises(InvalidArtifact, match="kind should be one of"):
        load_encoder(path)


@dataclass(frozen=True)
class TitleLengths:
    """An encoder that a user wrote: the number of letters of a title, and of its words."""

    version: str
    inputs: tuple[str, ...] = ("title",)
    outputs: Mapping[str, int] = field(default_factory=lambda: {"embedding": 2})

    def length(self, row: Mapping[str, object]) -> int:
        return 1

    def encode(self, batch: Batch) -> Encoded:
        titles = [str(title) for title in batch["title"]]
        lengths = [(len(title), len(title.split())) for title in titles]
        return Encoded({"embedding": np.array(lengths, np.float32)})


def test_an_encoder_that_replaces_one_of_a_kind_needs_its_module_and_its_loader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        loading._LOADERS, "cope", lambda artifact, *_: TitleLengths(artifact.version)
    )
    config = {"kind": "cope", "inputs": ["title"], "outputs": {"embedding": 2}, "reads": {}}
    path = save_artifact(Artifact("cope", config, {}, {}, {}, ""), str(tmp_path))

    info, encoder = read_info(path), load_encoder(path)
    encoded = encoder.encode({"title": ["a red chair"]})

    assert (info.kind, info.inputs, dict(info.outputs)) == ("cope", ("title",), {"embedding": 2})
    assert encoder.version == info.version
    np.testing.assert_array_equal(encoded.vectors["embedding"], [[11, 3]])
