"""Trained towers as encoder versions, and back.

The kinds ``learn_user`` and ``learn_item`` come out of one training run and hold the same weights,
and the behaviour of each SPU that users met until then.

Shapes: N contents, C content width, X width of the towers' input.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.artifacts import NO_HISTORY, Artifact, InvalidArtifact
from encoders.learn.behaviour import Behaviour, is_behaviour
from encoders.learn.history import Rows
from encoders.learn.towers import TowerConfig, Towers
from encoders.learn.transformer_towers import TransformerConfig, TransformerTowers
from encoders.spaces.rotation import weights

USER, ITEM = "learn_user", "learn_item"
# What each kind reads of a row.
USER_INPUTS, ITEM_INPUTS = ("history", "ages"), ("content_embedding", "behaviour")
# As ``config.json`` names it; versions without a name have transformer towers.
ARCHITECTURE = "faded_sum"

AnyTowers = Towers | TransformerTowers


def tower_artifacts(
    towers: Towers,
    behaviour: Behaviour,
    content_version: str,
    metrics: Mapping[str, object],
    summary: str = "",
) -> dict[str, Artifact]:
    """Return the encoder versions ``learn_user`` and ``learn_item`` of trained towers, by kind.

    Args:
        content_version: of the ``learn_content`` encoder whose states the towers read.
        summary: of the metrics, for the card: lines of text.
    """
    figures = f"\n\n```\n{summary}\n```" if summary else ""
    directions = {USER: "history -> user", ITEM: "content and behaviour -> SPU"}
    inputs = {USER: USER_INPUTS, ITEM: ITEM_INPUTS}
    tensors = {name: tensor.detach().cpu() for name, tensor in towers.state_dict().items()}
    tensors |= {name: torch.from_numpy(array) for name, array in behaviour.arrays.items()}
    return {
        kind: Artifact(
            name=kind,
            config={
                "kind": kind,
                "architecture": ARCHITECTURE,
                "inputs": list(inputs[kind]),
                "content": content_version,
                "towers": asdict(towers.config),
                **({NO_HISTORY: towers.no_history().tolist()} if kind == USER else {}),
            },
            preprocessing={
                "content": "whitened, unit norm",
                "behaviour": "factors of transitions, log of events; later events are folded in",
                "history": "oldest first, the newest kept; ages in moments",
            },
            tensors=tensors,
            metrics=metrics,
            description=f"LEARN, {direction}; users and SPUs share a space. "
            f"Reads {content_version}.{figures}",
        )
        for kind, direction in directions.items()
    }


def artifact_towers(artifact: Artifact) -> AnyTowers:
    """Return trained towers; both kinds hold the same. A rotation of the version is left out.

    Raises:
        InvalidArtifact: the weights do not fit the config.
    """
    own = {name: tensor for name, tensor in weights(artifact).items() if not is_behaviour(name)}
    sizes = cast("Mapping[str, int]", artifact.config.get("towers"))
    try:
        towers: AnyTowers = (
            Towers(TowerConfig(**sizes))
            if artifact.config.get("architecture") == ARCHITECTURE
            else TransformerTowers(TransformerConfig(**sizes))  # type: ignore[arg-type]
        )
        towers.load_state_dict(own)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        message = f"encoder {artifact.version}: weights and config do not fit: {error}"
        raise InvalidArtifact(message) from error
    return towers.eval()


def artifact_inputs(
    artifact: Artifact,
    towers: AnyTowers,
    spu_ids: Sequence[str],
    content_NC: NDArray[np.float32],
    *,
    users: Sequence[tuple[Rows, Rows]] = (),
) -> torch.Tensor:
    """Return what the towers of a version read of SPUs [N, X].

    Args:
        towers: ``artifact_towers`` of the version.
        users: as for ``Behaviour.later_of``; without any, behaviour is that of the training.
    """
    known = Behaviour.from_arrays({name: t.numpy() for name, t in artifact.tensors.items()})
    nothing = np.zeros((len(spu_ids), 0), np.float32)
    behaviour_NF = nothing if known is None else known.later_of(spu_ids, users)
    content = torch.from_numpy(np.ascontiguousarray(content_NC))
    with torch.inference_mode():
        return towers.inputs(content, torch.from_numpy(behaviour_NF))
