"""Content embeddings: the frozen language model's states of SPUs' prompts (LEARN, section 3.2).

Its states are nearly parallel: they are inputs of the towers, which whiten them, and not features
to serve.

Shapes: B prompts, D width of the model's states.
"""

from collections.abc import Mapping

import numpy as np

from encoders.artifacts import Artifact, InvalidArtifact
from encoders.backbones.decoder_layers import LAST
from encoders.backbones.language_model import (
    LanguageModel,
    check_token_budget,
    language_model_layer,
    language_model_sha256,
    language_model_width,
    load_language_model,
)
from encoders.backbones.weights import InvalidBackbone
from encoders.hardware import choose_hardware
from encoders.learn.prompt import PREPROCESSING
from encoders.protocol import PROMPT_CUT, Batch, Encoded, Problem
from encoders.settings import LearnConfig

KIND = "learn_content"


def content_artifact(settings: LearnConfig) -> Artifact:
    """Return the encoder version of a frozen language model: no weights, but their hash.

    Raises:
        InvalidBackbone: the language model is unknown, its weights are not there, or it has no such
            layer or no places for so many tokens.
    """
    name = settings.language_model
    check_token_budget(name, settings.max_tokens)
    layer = language_model_layer(name, settings.language_model_layer)
    states = "last hidden states" if layer is None else f"hidden states of layer {layer}"
    return Artifact(
        name=KIND,
        config={
            "kind": KIND,
            "language_model": {"name": name, "sha256": language_model_sha256(name)},
            "dim": language_model_width(name),
            # Versions of the last layer were saved before it was a choice: their hash stays.
            **({} if layer is None else {"layer": layer}),
        },
        preprocessing={**PREPROCESSING, "max_tokens": settings.max_tokens},
        tensors={},
        metrics={},
        description=(
            f"LEARN's frozen language model: mean of the {states} of {name}, L2 norm 1. "
            "Input of the towers; states are nearly parallel, so whiten before comparing."
        ),
    )


def load(artifact: Artifact, device: str = "auto", precision: str = "auto") -> "LearnContent":
    """Load the language model that an artifact names.

    Raises:
        InvalidArtifact: the model is not there, or its weights are not those of the artifact.
    """
    pinned = artifact.config.get("language_model")
    if not isinstance(pinned, dict) or not {"name", "sha256"} <= pinned.keys():
        raise InvalidArtifact(
            f"encoder {artifact.version}: "
            "config.json should give name and sha256 of language_model."
        )
    try:
        model = load_language_model(
            pinned["name"],
            choose_hardware(device, precision),
            max_tokens=int(str(artifact.preprocessing["max_tokens"])),
            sha256=pinned["sha256"],
            layer=int(str(artifact.config.get("layer", LAST))),
        )
    except InvalidBackbone as error:
        raise InvalidArtifact(f"encoder {artifact.version}: {error}") from error
    return LearnContent(artifact.version, model)


class LearnContent:
    """The ``learn_content`` encoder; see ``encoders/protocol.py``."""

    inputs = ("prompt",)

    def __init__(self, version: str, model: LanguageModel) -> None:
        self._version, self._model = version, model

    @property
    def version(self) -> str:
        return self._version

    @property
    def outputs(self) -> Mapping[str, int]:
        return {"embedding": self._model.width}

    def length(self, row: Mapping[str, object]) -> int:
        return len(self._model.tokenize([_text(row["prompt"])])[0])

    def encode(self, batch: Batch) -> Encoded:
        """Encode prompts.

        A prompt without a word gets NaN and a fatal problem, one that was cut a notice.
        """
        prompts = [_text(prompt) for prompt in batch["prompt"]]
        emb_BD = self._model.encode(prompts)
        empty = np.flatnonzero(np.isnan(emb_BD[:, 0])).tolist()
        problems = [
            Problem(row, "prompt_empty", "all six fields of the SPU are absent", fatal=True)
            for row in empty
        ]
        cut = [
            Problem(row, PROMPT_CUT, f"its last {lost} tokens were cut off")
            for row, lost in enumerate(self._model.lost(prompts))
            if lost
        ]
        return Encoded({"embedding": emb_BD}, [*problems, *cut])


def _text(prompt: object) -> str:
    return "" if prompt is None else str(prompt)
