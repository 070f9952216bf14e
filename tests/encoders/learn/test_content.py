"""The learn_content encoder, on a tiny random language model."""

import inspect
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaModel

from encoders.artifacts import InvalidArtifact, load_artifact, save_artifact
from encoders.backbones.language_model import load_language_model
from encoders.backbones.weights import InvalidBackbone
from encoders.hardware import choose_hardware
from encoders.learn.content import LearnContent, content_artifact, load
from encoders.learn.prompt import spu_prompt
from encoders.loading import load_encoder
from encoders.protocol import NOTICES
from encoders.settings import LearnConfig


@pytest.fixture
def encoder(tiny_language_model: Path) -> LearnContent:
    return load(
        content_artifact(LearnConfig(language_model=str(tiny_language_model))), "cpu", "float32"
    )


PROMPTS = ["Product Kettle.", "Product Cup. By Acme.", "", None, "x" * 900, "Product Kettle."]


def test_prompts_have_unit_vectors_in_the_order_of_the_batch(encoder: LearnContent) -> None:
    encoded = encoder.encode({"prompt": PROMPTS})

    emb = encoded.vectors["embedding"]
    assert emb.shape == (6, 16)
    assert emb.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(emb[[0, 1, 4, 5]], axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(emb[0], emb[5])
    assert not np.allclose(emb[0], emb[1])


def test_a_prompt_without_a_token_has_no_vector_and_says_why(encoder: LearnContent) -> None:
    encoded = encoder.encode({"prompt": PROMPTS})

    assert np.isnan(encoded.vectors["embedding"]).all(axis=1).tolist() == [
        False,
        False,
        True,
        True,
        False,
        False,
    ]
    assert [(p.row, p.reason, p.fatal) for p in encoded.problems if p.fatal] == [
        (2, "prompt_empty", True),
        (3, "prompt_empty", True),
    ]


def test_cut_prompts_have_a_vector_and_a_notice(encoder: LearnContent) -> None:
    encoded = encoder.encode({"prompt": ["x" * 128, "x" * 131, "x" * 128 + "yz"]})

    whole, *cut = encoded.vectors["embedding"]
    np.testing.assert_allclose(cut, [whole, whole], atol=1e-6)
    assert [(p.row, p.detail, p.fatal) for p in encoded.problems] == [
        (1, "its last 3 tokens were cut off", False),
        (2, "its last 2 tokens were cut off", False),
    ]
    assert {p.reason for p in encoded.problems} <= NOTICES


@pytest.mark.parametrize(
    "title",
    [
        "Чайник 1,7 л",
        "\u7535\u6c34\u58f6 \u4e0d\u9508\u94a2",
        "\u063a\u0644\u0627\u064a\u0629 \u0643\u0647\u0631\u0628\u0627\u0626\u064a\u0629",
        "\u0e01\u0e32\u0e15\u0e49\u0e21\u0e19\u0e49\u0e33",
        "\U0001f469\u200d\U0001f373 kettle",
        """12" "pro" 'x' `y` \\n""",
        "{title} {0} {{}} %s %(x)d ${y}",
        "<|im_start|>system",
        "\x00\x1b[0m",
    ],
)
def test_prompts_of_any_script_with_quotes_and_braces_have_vectors_of_their_own(
    encoder: LearnContent, title: str
) -> None:
    prompt = spu_prompt(title, brand="Acme", attributes={title: title})

    emb, other = encoder.encode({"prompt": [prompt, spu_prompt("Kettle")]}).vectors["embedding"]

    assert prompt == f"Product {title}. By Acme. With {title[:32]} {title[:32]}."
    assert np.linalg.norm(emb) == pytest.approx(1, abs=1e-6)
    assert not np.allclose(emb, other, atol=1e-3)


def test_an_spu_without_any_field_has_no_vector_though_the_model_marks_its_start(
    tiny_language_model: Path, tmp_path: Path
) -> None:
    model = load(
        content_artifact(
            LearnConfig(language_model=str(_with_start(tiny_language_model, tmp_path)))
        )
    )

    encoded = model.encode({"prompt": [spu_prompt(None), "", None, "  ", "Product Cup."]})

    assert model.length({"prompt": "ab"}) == 3
    assert np.isnan(encoded.vectors["embedding"][:, 0]).tolist() == [True] * 4 + [False]
    assert [p.reason for p in encoded.problems] == ["prompt_empty"] * 4


def _with_start(folder: Path, tmp_path: Path) -> Path:
    """Return a copy of a model whose tokenizer begins every text with a token, as Llama's does."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    copy = tmp_path / "with_start"
    shutil.copytree(folder, copy)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    start = [("!", tokenizer.convert_tokens_to_ids("!"))]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing("! $A", None, start)
    tokenizer.save_pretrained(copy)
    return copy


@pytest.mark.parametrize(("layer", "state"), [(1, 1), (-2, 1), (2, 2), (-1, 2)])
def test_a_vector_is_the_mean_of_the_states_of_the_layer_that_is_set(
    tiny_language_model: Path, tmp_path: Path, layer: int, state: int
) -> None:
    settings = LearnConfig(language_model=str(tiny_language_model), language_model_layer=layer)
    network = LlamaModel.from_pretrained(tiny_language_model).eval()
    prompts = ["Product Cup.", "Product Kettle. By Acme."]

    artifact = load_artifact(save_artifact(content_artifact(settings), str(tmp_path)))
    encoder = load(artifact, "cpu", "float32")

    assert artifact.config.get("layer") == (state if state < 2 else None)
    with torch.inference_mode():
        ids = [torch.tensor([encoder._model.tokenize([prompt])[0]]) for prompt in prompts]
        all_states = [network(each, output_hidden_states=True).hidden_states for each in ids]
    mean = np.stack([states[state][0].numpy().mean(axis=0) for states in all_states])
    emb = encoder.encode({"prompt": prompts}).vectors["embedding"]
    np.testing.assert_allclose(emb, mean / np.linalg.norm(mean, axis=1)[:, None], atol=1e-6)


def test_layers_after_the_one_that_is_set_are_not_computed(tiny_language_model: Path) -> None:
    settings = LearnConfig(language_model=str(tiny_language_model), language_model_layer=1)

    model = load_language_model(
        settings.language_model, choose_hardware("cpu", "float32"), max_tokens=8, layer=1
    )

    network = inspect.getclosurevars(model.forward).nonlocals["network"]
    assert len(network.layers) == 1


@pytest.mark.parametrize("layer", [0, 3, -3])
def test_a_layer_that_the_model_lacks_is_refused(tiny_language_model: Path, layer: int) -> None:
    settings = LearnConfig(language_model=str(tiny_language_model), language_model_layer=layer)

    with pytest.raises(InvalidBackbone, match=f"1 to 2, or -1 to -2 from the end, but is {layer}"):
        content_artifact(settings)


def test_a_budget_that_the_model_has_no_places_for_is_refused(tiny_language_model: Path) -> None:
    settings = LearnConfig(language_model=str(tiny_language_model), max_tokens=2049)

    with pytest.raises(InvalidBackbone, match="reads 2048 tokens at most, but max_tokens is 2049"):
        content_artifact(settings)


def test_a_version_of_default_settings_is_the_same_with_and_without_them(
    tiny_language_model: Path,
) -> None:
    """Neither the layer nor the budget were settings until December 2026."""
    named = LearnConfig(language_model=str(tiny_language_model))

    default = content_artifact(named)

    assert set(default.config) == {"kind", "language_model", "dim"}
    assert default.preprocessing["max_tokens"] == 128
    last = replace(named, language_model_layer=2)
    assert content_artifact(last).version == default.version
    others = [replace(named, language_model_layer=1), replace(named, max_tokens=64)]
    assert len({default.version, *(content_artifact(other).version for other in others)}) == 3


def test_the_token_budget_is_that_of_the_version(tiny_language_model: Path, tmp_path: Path) -> None:
    settings = LearnConfig(language_model=str(tiny_language_model), max_tokens=5)

    encoder = load_encoder(save_artifact(content_artifact(settings), str(tmp_path)))

    assert encoder.length({"prompt": "x" * 9}) == 5
    assert [p.detail for p in encoder.encode({"prompt": ["x" * 9]}).problems] == [
        "its last 4 tokens were cut off"
    ]


def test_prompts_do_not_depend_on_their_batch(encoder: LearnContent) -> None:
    together = encoder.encode({"prompt": PROMPTS}).vectors["embedding"]

    alone = [encoder.encode({"prompt": [prompt]}).vectors["embedding"][0] for prompt in PROMPTS]

    np.testing.assert_allclose(together, np.stack(alone), atol=1e-6)


def test_a_vector_is_the_mean_of_the_last_states(
    encoder: LearnContent, tiny_language_model: Path
) -> None:
    network = LlamaModel.from_pretrained(tiny_language_model).eval()
    ids = torch.tensor([encoder._model.tokenize(["Product Cup."])[0]])

    with torch.inference_mode():
        mean = network(ids).last_hidden_state[0].numpy().mean(axis=0)

    emb = encoder.encode({"prompt": ["Product Cup."]}).vectors["embedding"][0]
    np.testing.assert_allclose(emb, mean / np.linalg.norm(mean), atol=1e-6)


def test_length_is_in_tokens_and_bounded(encoder: LearnContent) -> None:
    assert encoder.length({"prompt": "four"}) == 4
    assert encoder.length({"prompt": None}) == 0
    assert encoder.length({"prompt": "x" * 900}) == 128


def test_an_empty_batch_gives_no_rows(encoder: LearnContent) -> None:
    assert encoder.encode({"prompt": []}).vectors["embedding"].shape == (0, 16)


def test_artifact_names_the_model_and_survives_a_save(
    tiny_language_model: Path, tmp_path: Path
) -> None:
    artifact = content_artifact(LearnConfig(language_model=str(tiny_language_model)))

    encoder = load_encoder(save_artifact(artifact, str(tmp_path)))

    assert not artifact.tensors
    assert artifact.config["dim"] == 16
    assert artifact.preprocessing["max_tokens"] == 128
    assert encoder.version == artifact.version
    assert encoder.inputs == ("prompt",)
    assert dict(encoder.outputs) == {"embedding": 16}


def test_weights_of_another_hash_are_refused(tiny_language_model: Path, tmp_path: Path) -> None:
    artifact = content_artifact(LearnConfig(language_model=str(tiny_language_model)))
    said = {"name": str(tiny_language_model), "sha256": "0" * 64}
    path = save_artifact(
        type(artifact)(**{**vars(artifact), "config": {**artifact.config, "language_model": said}}),
        str(tmp_path),
    )

    with pytest.raises(InvalidArtifact, match="sha256 should be 0000"):
        load(load_artifact(path))
