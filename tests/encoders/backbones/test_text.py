import json
from pathlib import Path

import numpy as np
import pytest

from encoders.backbones.text import ALL_MINILM, load_text_backbone
from encoders.backbones.weights import InvalidBackbone
from encoders.hardware import Hardware

TEXTS = ["red phone", "blue case for red phone.", "case", "red phone"]


def test_vectors_have_unit_norm_and_do_not_depend_on_the_batch(
    text_folder: Path, cpu: Hardware
) -> None:
    backbone = load_text_backbone(str(text_folder), cpu, max_tokens=16)

    vectors = backbone.encode(TEXTS)

    assert vectors.shape == (4, backbone.width) == (4, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(
        vectors, np.concatenate([backbone.encode([text]) for text in TEXTS]), atol=1e-5
    )
    np.testing.assert_array_equal(vectors[0], vectors[3])


def test_text_past_the_limit_is_not_read(text_folder: Path, cpu: Hardware) -> None:
    backbone = load_text_backbone(str(text_folder), cpu, max_tokens=5)

    one, other = backbone.encode(["red blue case phone", "red blue case for . phone"])

    np.testing.assert_allclose(one, other, atol=1e-6)


def test_minilm_agrees_with_sentence_transformers_on_what_is_alike(cpu: Hardware) -> None:
    backbone = load_text_backbone(ALL_MINILM, cpu, max_tokens=64)

    phone, telephone, banana = backbone.encode(["mobile phone", "a cell phone", "ripe banana"])

    assert backbone.width == 384
    assert phone @ telephone > 0.7 > 0.4 > phone @ banana


def test_pooling_that_is_not_supported_is_named(text_folder: Path, cpu: Hardware) -> None:
    modules = text_folder / "modules.json"
    modules.write_text(json.dumps([{"type": "x.Transformer"}, {"type": "x.Dense"}]))
    try:
        with pytest.raises(InvalidBackbone, match="Dense"):
            load_text_backbone(str(text_folder), cpu, max_tokens=8)
    finally:
        modules.unlink()
