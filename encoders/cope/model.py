"""COPE's heads as an encoder: from the features of the frozen backbones to one vector of an item.

Shapes: B items, F features, D numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.artifacts import Artifact, InvalidArtifact
from encoders.cope.fusion_heads import FusionConfig, FusionHeads
from encoders.cope.items import Features
from encoders.cope.published_heads import PublishedConfig, PublishedHeads
from encoders.cope.shared_map import SharedMap, SharedMapConfig
from encoders.protocol import Batch, Encoded
from encoders.spaces.rotation import weights

KIND = "cope"

Heads = SharedMap | PublishedHeads | FusionHeads


def heads_artifact(heads: Heads, features_version: str, metrics: Mapping[str, object]) -> Artifact:
    """Return the encoder version of trained heads.

    Args:
        features_version: of the ``cope_features`` encoder whose features the heads read.
    """
    trained = _trained_domains(heads)
    domains = ", ".join(trained) or "no domain: raw features alone"
    return Artifact(
        name=KIND,
        config={"kind": KIND, "features": features_version, "heads": asdict(heads.config)},
        preprocessing={"normalize": "l2", "centre": "domain mean", "trained_domains": trained},
        tensors={name: tensor.detach().cpu() for name, tensor in heads.state_dict().items()},
        metrics=metrics,
        description=f"COPE heads over {features_version}, trained on {domains}.",
    )


def _trained_domains(heads: Heads) -> list[str]:
    if isinstance(heads, FusionHeads):
        shares = zip(heads.config.domains, heads.share_N.tolist(), strict=True)
        return [name for name, share in shares if share > 0]
    return list(heads.config.trained)


def artifact_heads(artifact: Artifact) -> Heads:
    """Return trained heads; a rotation of the version is left out.

    Raises:
        InvalidArtifact: the weights do not fit the sizes that the config gives.
    """
    given = artifact.config.get("heads")
    if not isinstance(given, dict):
        raise InvalidArtifact(f"encoder {artifact.version}: config.json should give heads.")
    tensors = weights(artifact)
    try:
        heads = _empty_heads(given, tensors)
        heads.load_state_dict(tensors)
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        message = f"encoder {artifact.version}: weights and config do not fit: {error}"
        raise InvalidArtifact(message) from error
    return heads.eval()


def _empty_heads(given: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Heads:
    """Return heads of the sizes that ``config.json`` gives, without their weights."""
    lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list | tuple)}
    if "hidden" in given:
        return PublishedHeads(PublishedConfig(**{**given, **lists}))
    if "image_widths" in given:
        return SharedMap(SharedMapConfig(**{**given, **lists}), spus=len(tensors["centre_SL"]))
    # A vector never changes under its version: encoders saved without the rule go on without it.
    return FusionHeads(FusionConfig(**{"missing_below": 0.0, **given, **lists}))


def load_heads(artifact: Artifact) -> "CopeEncoder":
    """Load trained heads as an encoder.

    Raises:
        InvalidArtifact: the weights do not fit the sizes that the config gives.
    """
    return CopeEncoder(artifact.version, artifact_heads(artifact))


class CopeEncoder:
    """The ``cope`` encoder; see ``encoders/protocol.py``.

    Computes in float64: the heads cost nothing beside the backbones, and a vector that comes out
    the same to the last bit in every batch is no false change of the item.
    """

    inputs = ("domain", "image_features", "text_features")

    def __init__(self, version: str, heads: Heads) -> None:
        self._version = version
        self._heads = heads.double().eval().requires_grad_(False)
        self._domains = {name: row for row, name in enumerate(heads.config.domains)}

    @property
    def version(self) -> str:
        return self._version

    @property
    def outputs(self) -> Mapping[str, int]:
        return {"embedding": self._heads.config.dim}

    def length(self, row: Mapping[str, object]) -> int:
        return 1

    def encode(self, batch: Batch) -> Encoded:
        """Encode items; NaN where both modalities are missing.

        Raises:
            ValueError: a domain that the heads do not know.
        """
        image_width, text_width = (
            mean_NF.shape[1] for mean_NF in (self._heads.image_mean_NI, self._heads.text_mean_NT)
        )
        if not isinstance(self._heads, FusionHeads):
            text_width += self._heads.config.words_width
        items = Features(
            torch.tensor([self._row_of(domain) for domain in batch["domain"]], dtype=torch.long),
            torch.from_numpy(_filled(batch["image_features"], image_width)),
            torch.from_numpy(_filled(batch["text_features"], text_width)),
        )
        with torch.inference_mode():
            emb_BD = self._heads(items)
        return Encoded({"embedding": emb_BD.numpy().astype(np.float32)})

    def _row_of(self, domain: object) -> int:
        if domain not in self._domains:
            raise ValueError(f"domain should be one of {list(self._domains)}, but is {domain!r}.")
        return self._domains[str(domain)]


def _filled(vectors: Sequence[object], width: int) -> NDArray[np.float64]:
    """Return vectors as one matrix, NaN where there is none."""
    matrix = np.full((len(vectors), width), np.nan)
    for row, vector in enumerate(vectors):
        if vector is not None:
            matrix[row] = vector
    return matrix
