"""Rotations: an encoder version may turn the space of its vectors into that of an earlier one.

Such a version holds the weights of the one it came from, and a tensor ``rotation`` that is applied
to its vectors last. It is orthogonal, so dot products and cosines within the version stay what they
were, to rounding. Nothing is shifted: a shift would change them.

Shapes: B rows, D numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoders.artifacts import NO_HISTORY, Artifact, InvalidArtifact
from encoders.protocol import Batch, Encoded, Encoder

if TYPE_CHECKING:
    import torch

ROTATION = "rotation"
# Rotations are float64: of one that was fitted, R R' is the identity up to 1e-14.
_TOLERANCE = 1e-9

Rotation = NDArray[np.float64]


def weights(artifact: Artifact) -> dict[str, "torch.Tensor"]:
    """Return the tensors of a version without its rotation."""
    return {name: tensor for name, tensor in artifact.tensors.items() if name != ROTATION}


def rotated_artifact(
    artifact: Artifact, rotation_DD: Rotation, *, metrics: Mapping[str, object], description: str
) -> Artifact:
    """Return a version whose vectors are those of ``artifact`` times ``rotation_DD``.

    One that is rotated already gets the product of both rotations.

    Args:
        metrics: of the rotation; those of ``artifact`` are kept beside them.
        description: of the rotation, for the card: a line of text.
    """
    import torch

    earlier_DD = artifact.tensors.get(ROTATION)
    product_DD = rotation_DD if earlier_DD is None else earlier_DD.numpy() @ rotation_DD
    # A vector that is served without being encoded.
    constants = {
        name: (np.asarray(artifact.config[name]) @ rotation_DD).tolist()
        for name in (NO_HISTORY,)
        if name in artifact.config
    }
    return replace(
        artifact,
        config={**artifact.config, **constants},
        tensors={**artifact.tensors, ROTATION: torch.from_numpy(np.ascontiguousarray(product_DD))},
        metrics={**artifact.metrics, **metrics},
        description=f"{artifact.description}\n\n{description}",
    )


def with_rotation(encoder: Encoder, artifact: Artifact) -> Encoder:
    """Return the encoder of a version, with the version's rotation applied where it has one.

    Raises:
        InvalidArtifact: the rotation is not orthogonal, or not as wide as the vectors.
    """
    tensor = artifact.tensors.get(ROTATION)
    if tensor is None:
        return encoder
    rotation_DD = tensor.numpy().astype(np.float64)
    widths = set(encoder.outputs.values())
    if {(width, width) for width in widths} != {rotation_DD.shape}:
        raise InvalidArtifact(
            f"encoder {artifact.version}: the rotation of vectors of {sorted(widths)} numbers "
            f"should be as wide, but is {list(rotation_DD.shape)}."
        )
    if not np.allclose(rotation_DD @ rotation_DD.T, np.eye(len(rotation_DD)), atol=_TOLERANCE):
        raise InvalidArtifact(f"encoder {artifact.version}: its rotation is not orthogonal.")
    return RotatedEncoder(encoder, rotation_DD)


@dataclass(frozen=True)
class RotatedEncoder:
    """An encoder whose vectors are rotated; see ``encoders/protocol.py``."""

    encoder: Encoder
    rotation_DD: Rotation

    @property
    def version(self) -> str:
        return self.encoder.version

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.encoder.inputs

    @property
    def outputs(self) -> Mapping[str, int]:
        return self.encoder.outputs

    def length(self, row: Mapping[str, object]) -> int:
        return self.encoder.length(row)

    def encode(self, batch: Batch) -> Encoded:
        """Encode a batch; a row of NaN stays one."""
        encoded = self.encoder.encode(batch)
        vectors = {name: self._rotated(emb_BD) for name, emb_BD in encoded.vectors.items()}
        return Encoded(vectors, encoded.problems)

    def _rotated(self, emb_BD: NDArray[np.float32]) -> NDArray[np.float32]:
        rotated_BD = np.full_like(emb_BD, np.nan)
        present = ~np.isnan(emb_BD).any(axis=1)
        rotated_BD[present] = emb_BD[present].astype(np.float64) @ self.rotation_DD
        return rotated_BD
