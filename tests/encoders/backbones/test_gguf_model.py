"""GGUF conversion of a tiny random model, against the tensors that were written."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoModel, AutoTokenizer

from encoders.backbones.gguf_model import WEIGHTS, cache_folder, converted_folder
from encoders.backbones.weights import InvalidBackbone, sha256_of

WIDTH, HEADS, KV_HEADS, HIDDEN = 32, 4, 2, 64


@pytest.fixture
def gguf_file(tmp_path: Path) -> Path:
    """A llama of two layers with a byte-level vocabulary and one merge."""
    path = tmp_path / "tiny.gguf"
    alphabet = sorted(ByteLevel.alphabet())
    tokens = ["<|end|>", *alphabet, "he"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] + [1] * (len(tokens) - 1))
    writer.add_token_merges(["h e"])
    for special in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_pad_token_id):
        special(0)
    for name, shape in _shapes(len(tokens)).items():
        values = np.random.default_rng(len(name)).normal(size=shape, scale=0.3)
        writer.add_tensor(name, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    kv_width = WIDTH // HEADS * KV_HEADS
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (vocabulary, WIDTH),
        "output_norm.weight": (WIDTH,),
    }
    for layer in range(2):
        shapes |= {
            f"blk.{layer}.attn_norm.weight": (WIDTH,),
            f"blk.{layer}.ffn_norm.weight": (WIDTH,),
            f"blk.{layer}.attn_q.weight": (WIDTH, WIDTH),
            f"blk.{layer}.attn_k.weight": (kv_width, WIDTH),
            f"blk.{layer}.attn_v.weight": (kv_width, WIDTH),
            f"blk.{layer}.attn_output.weight": (WIDTH, WIDTH),
            f"blk.{layer}.ffn_gate.weight": (HIDDEN, WIDTH),
            f"blk.{layer}.ffn_up.weight": (HIDDEN, WIDTH),
            f"blk.{layer}.ffn_down.weight": (WIDTH, HIDDEN),
        }
    return shapes


def test_a_converted_folder_holds_the_written_tensors_in_bfloat16(
    gguf_file: Path, tmp_path: Path
) -> None:
    folder = converted_folder(gguf_file, sha256_of([gguf_file]), cache=tmp_path / "cache")

    state = AutoModel.from_pretrained(folder, dtype=torch.float32).state_dict()

    written = {
        tensor.name: torch.tensor(tensor.data) for tensor in gguf.GGUFReader(gguf_file).tensors
    }
    for name, original in (
        ("embed_tokens", "token_embd"),
        ("norm", "output_norm"),
        ("layers.1.self_attn.v_proj", "blk.1.attn_v"),
        ("layers.1.post_attention_layernorm", "blk.1.ffn_norm"),
        ("layers.0.mlp.gate_proj", "blk.0.ffn_gate"),
        ("layers.0.mlp.down_proj", "blk.0.ffn_down"),
    ):
        expected = written[f"{original}.weight"].bfloat16().float()
        torch.testing.assert_close(state[f"{name}.weight"], expected, rtol=0, atol=0)
    # GGUF has the numbers of a rotary pair side by side, transformers in two halves.
    pairs = written["blk.0.attn_q.weight"].view(HEADS, WIDTH // HEADS // 2, 2, WIDTH)
    expected = pairs.swapaxes(1, 2).reshape(WIDTH, WIDTH).bfloat16().float()
    torch.testing.assert_close(state["layers.0.self_attn.q_proj.weight"], expected, rtol=0, atol=0)


def test_a_gguf_file_of_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.gguf"
    writer = gguf.GGUFWriter(file, "gpt2")
    writer.add_block_count(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()

    with pytest.raises(InvalidBackbone, match="of a llama model is expected"):
        converted_folder(file, sha256_of([file]), cache=tmp_path / "cache")


def test_converted_tokenizer_splits_digits_and_merges(gguf_file: Path, tmp_path: Path) -> None:
    folder = converted_folder(gguf_file, sha256_of([gguf_file]), cache=tmp_path / "cache")

    tokenizer = AutoTokenizer.from_pretrained(folder)

    ids = tokenizer("he 12é")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["he", "Ġ", "1", "2", "Ã", "©"]
    assert tokenizer.decode(ids) == "he 12é"


def test_a_converted_folder_is_used_again_and_mended_when_damaged(
    gguf_file: Path, tmp_path: Path
) -> None:
    digest, cache = sha256_of([gguf_file]), tmp_path / "cache"
    folder = converted_folder(gguf_file, digest, cache=cache)
    written = (folder / WEIGHTS).stat().st_mtime_ns
    weights = sha256_of([folder / WEIGHTS])

    assert converted_folder(gguf_file, digest, cache=cache) == folder
    assert (folder / WEIGHTS).stat().st_mtime_ns == written
    (folder / WEIGHTS).write_bytes(b"damaged")
    converted_folder(gguf_file, digest, cache=cache)

    assert sha256_of([folder / WEIGHTS]) == weights
    assert [path.name for path in cache.iterdir()] == [folder.name]


def test_a_file_of_another_hash_is_refused(gguf_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidBackbone, match="sha256 should be 00"):
        converted_folder(gguf_file, "00", cache=tmp_path / "cache")

    assert not (tmp_path / "cache").exists()


def test_cache_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "embedmill"

    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == Path.home() / ".cache" / "embedmill"
