"""Language models by name: GGUF files and packages that carry one, on a tiny random decoder."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModel, GPT2Config, GPT2Model, Qwen2Config, Qwen2Model

from encoders.backbones.decoder_layers import states
from encoders.backbones.language_model import (
    language_model_layer,
    language_model_sha256,
    language_model_width,
    load_language_model,
    weight_files,
)
from encoders.backbones.weights import InvalidBackbone, sha256_of
from encoders.hardware import Hardware


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def packaged(gguf_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The name of a GGUF file that an installed package carries."""
    package = tmp_path / "site" / "tiny_llm_package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "tiny.gguf").write_bytes(gguf_file.read_bytes())
    monkeypatch.syspath_prepend(str(package.parent))
    return "tiny_llm_package:tiny.gguf"


def test_a_gguf_file_is_a_language_model(gguf_file: Path, packaged: str, cpu: Hardware) -> None:
    name, digest = str(gguf_file), sha256_of([gguf_file])

    emb = load_language_model(name, cpu, max_tokens=8, sha256=digest).encode(["he 12", "", "he"])

    assert (language_model_sha256(name), language_model_width(name)) == (digest, 32)
    assert emb.shape == (3, 32)
    assert np.isnan(emb[:, 0]).tolist() == [False, True, False]
    other = load_language_model(packaged, cpu, max_tokens=8).encode(["he 12", "", "he"])
    np.testing.assert_array_equal(other, emb)
    assert language_model_sha256(packaged) == digest
    assert weight_files(packaged)[0].name == "tiny.gguf"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/models/none.gguf", "'/models/none.gguf' should be a GGUF file, but is not there"),
        ("no_such_package:a.gguf", "package 'no-such-package'.* is not installed"),
        ("encoders:a.gguf", "package 'encoders' should carry 'a.gguf', but does not"),
    ],
)
def test_a_gguf_file_that_is_not_there_is_named(name: str, message: str) -> None:
    with pytest.raises(InvalidBackbone, match=message):
        weight_files(name)


def test_a_gguf_file_of_another_hash_is_refused(gguf_file: Path, cpu: Hardware) -> None:
    with pytest.raises(InvalidBackbone, match="sha256 should be 0000"):
        load_language_model(str(gguf_file), cpu, max_tokens=8, sha256="0000")


def test_layers_count_from_either_end(gguf_file: Path) -> None:
    numbers = [language_model_layer(str(gguf_file), layer) for layer in (1, 2, -1, -2)]

    assert numbers == [1, None, None, 1]


def _gpt2() -> nn.Module:
    return GPT2Model(GPT2Config(vocab_size=50, n_embd=16, n_layer=3, n_head=2, n_positions=32))


def _qwen2() -> nn.Module:
    return Qwen2Model(
        Qwen2Config(
            vocab_size=50,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=1,
        )
    )


@pytest.mark.parametrize("make", [_gpt2, _qwen2])
@pytest.mark.parametrize("number", [1, 2, None])
def test_states_of_a_layer_are_those_that_transformers_gives(
    make: type[nn.Module], number: int | None
) -> None:
    torch.manual_seed(0)
    network = make().eval()
    ids_BT, mask_BT = torch.tensor([[3, 4, 5], [6, 7, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]])
    with torch.inference_mode():
        every = network(ids_BT, attention_mask=mask_BT, output_hidden_states=True).hidden_states

        found = states(network, number)(ids_BT, mask_BT)

    torch.testing.assert_close(found, every[3 if number is None else number])


def test_a_network_without_a_list_of_layers_has_its_last_states_alone() -> None:
    network = AutoModel.from_config(
        GPT2Config(vocab_size=50, n_embd=16, n_layer=3, n_head=2, n_positions=32)
    )
    network.h = nn.Sequential(*network.h)

    with pytest.raises(InvalidBackbone, match="should hold one list of 3 layers, but holds 0"):
        states(network, 1)
