"""What the platform knows of an encoder version: derived or given, it is what the encoder does."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.artifacts import (
    Artifact,
    InvalidArtifact,
    encoder_info,
    read_info,
    save_artifact,
    with_outputs,
)
from encoders.cope.features import feature_artifact
from encoders.cope.model import heads_artifact
from encoders.cope.shared_map import SharedMap, SharedMapConfig
from encoders.learn.behaviour import Behaviour
from encoders.learn.content import content_artifact
from encoders.learn.tower_artifacts import tower_artifacts
from encoders.learn.towers import TowerConfig, Towers
from encoders.loading import load_encoder
from encoders.semantic_ids.codebooks import Codebooks, codebook_artifact
from encoders.settings import CopeConfig, LearnConfig


def _zeros(network: torch.nn.Module) -> None:
    for weights in network.state_dict().values():
        weights.zero_()


def _defaults() -> dict[str, Artifact]:
    """Encoders of all kinds in the default sizes, with weights of zero."""
    features, content = feature_artifact(CopeConfig()), content_artifact(LearnConfig())
    heads = SharedMap(SharedMapConfig(image_widths=(1280, 1280), text_width=384))
    towers = Towers(TowerConfig(content_width=576, whitened_width=256))
    _zeros(heads)
    _zeros(towers)
    cope = heads_artifact(heads, features.version, {})
    codebooks = Codebooks(np.zeros((3, 4, 128), np.float32))
    return {
        "cope_features": features,
        "cope": cope,
        "semantic_id": codebook_artifact(codebooks, {}, cope.version),
        "learn_content": content,
        **tower_artifacts(
            towers, Behaviour(["s1"], np.zeros((1, 257), np.float32)), content.version, {}
        ),
    }


def test_one_image_backbone_is_written_down_as_it_always_was() -> None:
    one = feature_artifact(CopeConfig(image_backbones=("efficientnet-lite0",))).config

    assert set(one) == {"kind", "image_backbone", "text_backbone"}


def test_versions_are_those_of_warehouses_that_exist() -> None:
    assert [artifact.version for artifact in _defaults().values()] == [
        "cope_features@8eb6590d6794",
        "cope@cf4c81f8b6b0",
        "semantic_id@c2a32e604745",
        "learn_content@886294164d42",
        "learn_user@f8310cca61c9",
        "learn_item@ea8e0205869d",
    ]


@pytest.mark.parametrize("kind", ["cope_features", "cope", "semantic_id", "learn_item"])
def test_info_is_what_the_loaded_encoder_reads_and_returns(kind: str, tmp_path: Path) -> None:
    path = save_artifact(_defaults()[kind], str(tmp_path))

    info, encoder = read_info(path), load_encoder(path)

    assert (info.kind, info.version, info.folder) == (kind, encoder.version, path)
    assert (info.inputs, info.outputs) == (encoder.inputs, encoder.outputs)


def test_info_of_encoders_that_need_more_to_load(tmp_path: Path) -> None:
    artifacts = _defaults()
    content, user = (
        read_info(save_artifact(artifacts[kind], str(tmp_path)))
        for kind in ("learn_content", "learn_user")
    )

    assert (content.inputs, content.outputs) == (("prompt",), {"embedding": 576})
    assert (user.inputs, user.outputs) == (("history", "ages"), {"embedding": 64})
    assert user.size("towers", "max_history") == 256
    with pytest.raises(InvalidArtifact, match=r"should give towers\.no_such_size"):
        user.size("towers", "no_such_size")


def test_info_names_the_versions_that_an_encoder_reads() -> None:
    artifacts = _defaults()
    reads = {kind: encoder_info(a.config, a.version).reads for kind, a in artifacts.items()}

    content = {"learn_content": artifacts["learn_content"].version}
    assert reads == {
        "cope_features": {},
        "cope": {"cope_features": artifacts["cope_features"].version},
        "semantic_id": {"cope": artifacts["cope"].version},
        "learn_content": {},
        "learn_user": content,
        "learn_item": content,
    }


def test_a_kind_of_ones_own_gives_everything_in_its_config(tmp_path: Path) -> None:
    config = {
        "kind": "prices",
        "inputs": ["price"],
        "outputs": {"embedding": 4},
        "reads": {"cope": "cope@0123456789ab"},
    }

    info = read_info(save_artifact(Artifact("prices", config, {}, {}, {}, ""), str(tmp_path)))

    assert (info.kind, info.inputs, info.outputs) == ("prices", ("price",), {"embedding": 4})
    assert info.reads == {"cope": "cope@0123456789ab"}


def test_what_is_missing_and_cannot_be_derived_is_named() -> None:
    with pytest.raises(InvalidArtifact, match=r"'cope@1': config\.json should give outputs, reads"):
        encoder_info({"kind": "cope", "heads": {}}, "/encoders/cope@1")
    with pytest.raises(InvalidArtifact, match=r"should give kind, inputs, outputs, reads; it has"):
        encoder_info({"dim": 2}, "/encoders/odd@1/")


def test_only_widths_that_do_not_follow_are_written_down() -> None:
    config = {"kind": "cope_features", "text_backbone": {}}
    wide = {"image_features": 8, "text_features": 384}

    assert with_outputs(config, {"image_features": 1280, "text_features": 384}) is config
    assert encoder_info(with_outputs(config, wide), "x").outputs == wide


def test_info_needs_no_torch() -> None:
    """A driver that only plans a night does not wait for torch."""
    import subprocess
    import sys

    code = "import sys, encoders.artifacts; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert json.loads(found.stdout.lower()) is False
