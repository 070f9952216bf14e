"""GGUF: how does a language model that ships as one quantised file become a transformers folder?

transformers reads such files too, in 25 s for a model of 135M parameters; most of that is spent on
the vocabulary, twice. This takes 4 s, and gives the same tensors and tokens.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from encoders.backbones.weights import InvalidBackbone, sha256_of

WEIGHTS = "model.safetensors"
_HASH = "model.safetensors.sha256"
# GGUF's name of a layer's tensor -> transformers'.
_LAYER_TENSORS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OTHER_TENSORS = {"token_embd": "embed_tokens", "output_norm": "norm"}


class _Field(Protocol):
    def contents(self) -> object: ...


class _Tensor(Protocol):
    name: str
    data: NDArray[np.uint8]
    tensor_type: object


class _Reader(Protocol):
    """What is used of ``gguf.GGUFReader``."""

    fields: dict[str, _Field]
    tensors: list[_Tensor]


def cache_folder() -> Path:
    """Return ``$XDG_CACHE_HOME/embedmill``, by default ``~/.cache/embedmill``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "embedmill"


def converted_folder(gguf: Path, sha256: str, *, cache: Path | None = None) -> Path:
    """Return the transformers folder of a Llama-type GGUF file, converted at the first call.

    A folder whose weights are not those that were written there is made again.

    Args:
        sha256: hash that the file must have.
        cache: where converted models are kept; by default ``cache_folder()``.

    Raises:
        InvalidBackbone: the file has another hash, or holds another kind of model.
    """
    folder = (cache or cache_folder()) / f"{gguf.stem}-{sha256[:12]}"
    if _intact(folder):
        return folder
    found = sha256_of([gguf])
    if found != sha256:
        raise InvalidBackbone(
            f"weights {str(gguf)!r}: sha256 should be {sha256} but is {found}. Restore the file."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _convert(gguf, made)
        _put(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def _intact(folder: Path) -> bool:
    weights, recorded = folder / WEIGHTS, folder / _HASH
    return (
        weights.is_file()
        and recorded.is_file()
        and sha256_of([weights]) == recorded.read_text().strip()
    )


def _put(made: Path, folder: Path) -> None:
    """Move a finished folder to its place; of two processes that convert, either may win."""
    if folder.exists() and not _intact(folder):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        made.rename(folder)
    except OSError:
        if not _intact(folder):
            raise


def _convert(gguf: Path, folder: Path) -> None:
    from gguf import GGUFReader

    reader: _Reader = GGUFReader(gguf)
    config = _config(reader)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True))
    save_file(_state(reader, config), folder / WEIGHTS, metadata={"format": "pt"})
    _write_tokenizer(reader, folder)
    (folder / _HASH).write_text(sha256_of([folder / WEIGHTS]) + "\n")


def _config(reader: _Reader) -> dict[str, object]:
    kind = _value(reader, "general.architecture")
    if kind != "llama" or _value(reader, "tokenizer.ggml.model") != "gpt2":
        raise InvalidBackbone(
            f"a GGUF file of a llama model with byte-level BPE is expected, not {kind!r}."
        )
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": _value(reader, "llama.embedding_length"),
        "intermediate_size": _value(reader, "llama.feed_forward_length"),
        "max_position_embeddings": _value(reader, "llama.context_length"),
        "num_attention_heads": _value(reader, "llama.attention.head_count"),
        "num_hidden_layers": _value(reader, "llama.block_count"),
        "num_key_value_heads": _value(reader, "llama.attention.head_count_kv"),
        "rms_norm_eps": _value(reader, "llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": _value(reader, "llama.rope.freq_base"),
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "vocab_size": _value(reader, "llama.vocab_size"),
        "bos_token_id": _value(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _value(reader, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": _value(reader, "tokenizer.ggml.padding_token_id"),
    }


def _value(reader: _Reader, name: str) -> object:
    return reader.fields[name].contents()


def _state(reader: _Reader, config: dict[str, object]) -> dict[str, torch.Tensor]:
    from gguf import dequantize

    heads = {
        "attn_q": int(str(config["num_attention_heads"])),
        "attn_k": int(str(config["num_key_value_heads"])),
    }
    state: dict[str, torch.Tensor] = {}
    for tensor in reader.tensors:
        values: NDArray[np.float32] = dequantize(tensor.data, tensor.tensor_type)
        *layer, kind, _ = tensor.name.split(".")  # blk.7.attn_q.weight, token_embd.weight
        if kind in heads:
            values = _interleaved_to_halves(values, heads[kind])
        name = f"layers.{layer[1]}.{_LAYER_TENSORS[kind]}" if layer else _OTHER_TENSORS[kind]
        state[f"model.{name}.weight"] = torch.from_numpy(np.array(values)).bfloat16()
    return state


def _interleaved_to_halves(weights: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Undo GGUF's order of rotary dimensions: pairs side by side there, two halves here."""
    pairs = weights.reshape(heads, weights.shape[0] // heads // 2, 2, -1)
    return pairs.swapaxes(1, 2).reshape(weights.shape)


def _write_tokenizer(reader: _Reader, folder: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens = [str(token) for token in _listed(reader, "tokenizer.ggml.tokens")]
    kinds = [int(str(kind)) for kind in _listed(reader, "tokenizer.ggml.token_type")]
    merges = [_pair(str(merge)) for merge in _listed(reader, "tokenizer.ggml.merges")]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind != 1]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in control])
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[int(str(_value(reader, "tokenizer.ggml.bos_token_id")))],
        "eos_token": tokens[int(str(_value(reader, "tokenizer.ggml.eos_token_id")))],
        "pad_token": tokens[int(str(_value(reader, "tokenizer.ggml.padding_token_id")))],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(special, indent=2, sort_keys=True))


def _listed(reader: _Reader, name: str) -> list[object]:
    content = _value(reader, name)
    return content if isinstance(content, list) else [content]


def _pair(merge: str) -> tuple[str, str]:
    left, right = merge.split(" ")
    return left, right
