"""GGUF conversion of a tiny random model, against the tensors that were written."""

from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from encoders.backbones.gguf_model import WEIGHTS, cache_folder, converted_folder
from encoders.backbones.weights import InvalidBackbone, sha256_of

# Writes a decoder to a path: of an architecture, without one of its tensors.
WrittenGguf = Callable[..., Path]


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
    pairs = written["blk.0.attn_q.weight"].view(4, 4, 2, 32)  # four heads, 32 wide
    expected = pairs.swapaxes(1, 2).reshape(32, 32).bfloat16().float()
    torch.testing.assert_close(state["layers.0.self_attn.q_proj.weight"], expected, rtol=0, atol=0)


def test_gguf_files_of_other_decoders_are_converted(
    written_gguf: WrittenGguf, tmp_path: Path
) -> None:
    file = written_gguf(tmp_path / "tiny.gguf", "qwen2")

    folder = converted_folder(file, sha256_of([file]), cache=tmp_path / "cache")

    model = AutoModel.from_pretrained(folder, dtype=torch.float32)
    bias = next(t for t in gguf.GGUFReader(file).tensors if t.name == "blk.1.attn_v.bias").data
    assert model.config.model_type == "qwen2"
    torch.testing.assert_close(
        model.state_dict()["layers.1.self_attn.v_proj.bias"],
        torch.tensor(bias).bfloat16().float(),
        rtol=0,
        atol=0,
    )


def test_a_gguf_file_that_lacks_weights_is_refused(
    written_gguf: WrittenGguf, tmp_path: Path
) -> None:
    file = written_gguf(tmp_path / "tiny.gguf", "llama", "blk.1.attn_v.weight")

    with pytest.raises(InvalidBackbone, match=r"should have layers\.1\.self_attn\.v_proj\.weight"):
        converted_folder(file, sha256_of([file]), cache=tmp_path / "cache")

    assert list((tmp_path / "cache").iterdir()) == []


def test_a_gguf_file_of_an_unknown_architecture_is_refused(
    written_gguf: WrittenGguf, tmp_path: Path
) -> None:
    file = written_gguf(tmp_path / "tiny.gguf", "clip")

    with pytest.raises(InvalidBackbone, match="of a decoder that transformers can read"):
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
