"""Tiny random backbones in folders, as a user would name them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import gguf
import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel

from encoders.hardware import Hardware

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue", "phone", "case", "for", "."]
# Of the decoder in a GGUF file.
WIDTH, HEADS, KV_HEADS, HIDDEN = 32, 4, 2, 64


@pytest.fixture(scope="session")
def cpu() -> Hardware:
    return Hardware(torch.device("cpu"), torch.float32)


@pytest.fixture(scope="session")
def vision_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=16,
    )
    ViTModel(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_clip() -> Mapping[str, object]:
    """An architecture of open_clip that reads by its own tokenizer."""
    return {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
    }


@pytest.fixture
def clip_folder(tmp_path: Path, tiny_clip: Mapping[str, object]) -> Path:
    """A tiny random open_clip model, as hubs hold one."""
    preprocessing = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    config = {"model_cfg": tiny_clip, "preprocess_cfg": preprocessing}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    network = open_clip.create_model(f"local-dir:{tmp_path}", load_weights=False)
    save_file(network.state_dict(), tmp_path / "open_clip_model.safetensors")
    return tmp_path


@pytest.fixture(scope="session")
def written_gguf() -> Callable[..., Path]:
    return _written_gguf


@pytest.fixture
def gguf_file(tmp_path: Path) -> Path:
    return _written_gguf(tmp_path / "tiny.gguf")


def _written_gguf(path: Path, architecture: str = "llama", left_out: str = "") -> Path:
    """Write a decoder of two layers with a byte-level vocabulary and one merge."""
    alphabet = sorted(ByteLevel.alphabet())
    tokens = ["<|end|>", *alphabet, "he"]
    writer = gguf.GGUFWriter(path, architecture)
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
    for name, shape in _shapes(len(tokens), biases=architecture == "qwen2").items():
        if name == left_out:
            continue
        values = np.random.default_rng(len(name)).normal(size=shape, scale=0.3)
        writer.add_tensor(name, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _shapes(vocabulary: int, *, biases: bool) -> dict[str, tuple[int, ...]]:
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
        if biases:
            shapes |= {
                f"blk.{layer}.attn_q.bias": (WIDTH,),
                f"blk.{layer}.attn_k.bias": (kv_width,),
                f"blk.{layer}.attn_v.bias": (kv_width,),
            }
    return shapes
