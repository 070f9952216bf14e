"""The learn_content encoder, on a tiny random language model."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaModel

from encoders.artifacts import InvalidArtifact, load_artifact, save_artifact
from encoders.learn.content import LearnContent, content_artifact, load
from encoders.loading import load_encoder


@dataclass(frozen=True)
class Named:
    language_model: str


@pytest.fixture
def encoder(tiny_language_model: Path) -> LearnContent:
    return load(content_artifact(Named(str(tiny_language_model))), "cpu", "float32")


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
    assert [(p.row, p.reason, p.fatal) for p in encoded.problems] == [
        (2, "prompt_empty", True),
        (3, "prompt_empty", True),
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
    artifact = content_artifact(Named(str(tiny_language_model)))

    encoder = load_encoder(save_artifact(artifact, str(tmp_path)))

    assert not artifact.tensors
    assert artifact.config["dim"] == 16
    assert artifact.preprocessing["max_tokens"] == 128
    assert encoder.version == artifact.version
    assert encoder.inputs == ("prompt",)
    assert dict(encoder.outputs) == {"embedding": 16}


def test_weights_of_another_hash_are_refused(tiny_language_model: Path, tmp_path: Path) -> None:
    artifact = content_artifact(Named(str(tiny_language_model)))
    said = {"name": str(tiny_language_model), "sha256": "0" * 64}
    path = save_artifact(
        type(artifact)(**{**vars(artifact), "config": {**artifact.config, "language_model": said}}),
        str(tmp_path),
    )

    with pytest.raises(InvalidArtifact, match="sha256 should be 0000"):
        load(load_artifact(path))
