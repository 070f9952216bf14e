"""Preference encoders: trained towers as ``learn_user`` and ``learn_item``.

Both kinds come out of one training run and hold the same weights.

Shapes: B rows, T positions, C content width, K whitened width, D dimension, N contents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.artifacts import Artifact, InvalidArtifact
from encoders.hardware import Hardware, choose_hardware
from encoders.learn.towers import PreferenceTowers, TowerConfig
from encoders.protocol import Batch, Encoded, Problem

USER, ITEM = "learn_user", "learn_item"


def tower_artifacts(
    towers: PreferenceTowers,
    content_version: str,
    metrics: Mapping[str, object],
    summary: str = "",
) -> dict[str, Artifact]:
    """Return the encoder versions ``learn_user`` and ``learn_item`` of trained towers, by kind.

    Args:
        content_version: of the ``learn_content`` encoder whose states the towers read.
        summary: of the metrics, for the card: lines of text.
    """
    directions = {USER: "history of contents -> user", ITEM: "one content -> SPU"}
    return {
        kind: Artifact(
            name=kind,
            config={"kind": kind, "content": content_version, "towers": asdict(towers.config)},
            preprocessing={"content": "whitened", "history": "oldest first, the newest kept"},
            tensors={name: tensor.detach().cpu() for name, tensor in towers.state_dict().items()},
            metrics=metrics,
            description=(
                f"LEARN, {direction}; users and SPUs share a space. Reads {content_version}."
            )
            + (f"\n\n```\n{summary}\n```" if summary else ""),
        )
        for kind, direction in directions.items()
    }


def artifact_towers(artifact: Artifact) -> PreferenceTowers:
    """Return trained towers; both kinds hold the same.

    Raises:
        InvalidArtifact: the weights do not fit the config.
    """
    try:
        towers = PreferenceTowers(TowerConfig(**artifact.config["towers"]))  # type: ignore[arg-type]
        towers.load_state_dict(dict(artifact.tensors))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        message = f"encoder {artifact.version}: weights and config do not fit: {error}"
        raise InvalidArtifact(message) from error
    return towers.eval()


def load_user(
    artifact: Artifact, device: str = "auto", precision: str = "auto", context: str | None = None
) -> "LearnUser":
    """Load the user tower.

    Args:
        context: path of a ``.npy`` float32 [N, C]: the contents that histories number.

    Raises:
        InvalidArtifact: the weights do not fit the config.
        ValueError: no context, or not such a matrix.
    """
    tower = _Tower.load(artifact, device, precision)
    if context is None:
        raise ValueError(
            f"encoder {artifact.version} reads contents by number: "
            "give context, the path of their .npy matrix."
        )
    content_NC = np.load(context, mmap_mode="r", allow_pickle=False)
    if content_NC.ndim != 2 or content_NC.shape[1] != tower.config.content_width:
        raise ValueError(
            f"context {context!r} should be [n, {tower.config.content_width}], "
            f"but is {list(content_NC.shape)}."
        )
    return LearnUser(tower, content_NC)


def load_item(artifact: Artifact, device: str = "auto", precision: str = "auto") -> "LearnItem":
    """Load the item tower.

    Raises:
        InvalidArtifact: the weights do not fit the config.
    """
    return LearnItem(_Tower.load(artifact, device, precision))


@dataclass(frozen=True)
class _Tower:
    version: str
    network: PreferenceTowers
    hardware: Hardware

    @classmethod
    def load(cls, artifact: Artifact, device: str, precision: str) -> "_Tower":
        # On a CPU float64 costs little beside the language model, and a vector that comes out the
        # same to the last bit in every batch is no false change of a user.
        dtype = {"auto": torch.float64, "float32": torch.float32, "bfloat16": torch.float32}
        chosen = choose_hardware(device, "float32" if precision == "auto" else precision)
        on_cpu = chosen.device.type == "cpu"
        hardware = Hardware(chosen.device, dtype[precision] if on_cpu else torch.float32)
        network = artifact_towers(artifact).to(device=hardware.device, dtype=hardware.dtype)
        return cls(artifact.version, network.requires_grad_(False), hardware)

    @property
    def config(self) -> TowerConfig:
        return self.network.config

    def whitened(self, content_BC: NDArray[np.float32]) -> torch.Tensor:
        given = torch.from_numpy(np.array(content_BC)).to(self.hardware.device, self.hardware.dtype)
        return self.network.whitened(given)


class LearnUser:
    """The ``learn_user`` encoder; see ``encoders/protocol.py``."""

    inputs = ("history",)

    def __init__(self, tower: _Tower, content_NC: NDArray[np.float32]) -> None:
        self._tower, self._content_NC = tower, content_NC

    @property
    def version(self) -> str:
        return self._tower.version

    @property
    def outputs(self) -> Mapping[str, int]:
        return {"embedding": self._tower.config.dim}

    def length(self, row: Mapping[str, object]) -> int:
        history = row["history"]
        return min(len(history), self._tower.config.max_history) if history is not None else 0  # type: ignore[arg-type]

    def encode(self, batch: Batch) -> Encoded:
        """Encode histories, lists of row numbers of the context, oldest first.

        A user without history gets NaN.

        Raises:
            ValueError: a number is not a row of the context.
        """
        histories = [self._rows(history) for history in batch["history"]]
        emb_BD = np.full((len(histories), self._tower.config.dim), np.nan, np.float32)
        present = [row for row, history in enumerate(histories) if len(history)]
        if present:
            emb_BD[present] = self._encode([histories[row] for row in present])
        return Encoded({"embedding": emb_BD})

    def _rows(self, history: object) -> NDArray[np.int64]:
        given = np.asarray([] if history is None else history, dtype=np.int64)
        rows: NDArray[np.int64] = given[-self._tower.config.max_history :]
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self._content_NC):
            raise ValueError(
                f"history should hold rows of the context, 0 to {len(self._content_NC) - 1}, "
                f"but holds {rows.min()} to {rows.max()}."
            )
        return rows

    def _encode(self, histories: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        distinct, where = np.unique(np.concatenate(histories), return_inverse=True)
        with torch.inference_mode():
            white_NK = self._tower.whitened(self._content_NC[distinct])
            lengths_B = torch.tensor([len(history) for history in histories])
            ends = np.cumsum([len(history) for history in histories])[:-1]
            numbered = [torch.from_numpy(rows) for rows in np.split(where, ends)]
            padded = torch.nn.utils.rnn.pad_sequence(numbered, batch_first=True)
            device = self._tower.hardware.device
            emb_BD = self._tower.network.users(white_NK[padded.to(device)], lengths_B.to(device))
        return emb_BD.cpu().numpy().astype(np.float32)


class LearnItem:
    """The ``learn_item`` encoder; see ``encoders/protocol.py``."""

    inputs = ("content_embedding",)

    def __init__(self, tower: _Tower) -> None:
        self._tower = tower

    @property
    def version(self) -> str:
        return self._tower.version

    @property
    def outputs(self) -> Mapping[str, int]:
        return {"embedding": self._tower.config.dim}

    def length(self, row: Mapping[str, object]) -> int:
        return 1

    def encode(self, batch: Batch) -> Encoded:
        """Encode content embeddings; NaN, and a fatal problem, where there is none."""
        contents = batch["content_embedding"]
        emb_BD = np.full((len(contents), self._tower.config.dim), np.nan, np.float32)
        present = [row for row, content in enumerate(contents) if content is not None]
        if present:
            given = np.stack([np.asarray(contents[row], np.float32) for row in present])
            with torch.inference_mode():
                vectors = self._tower.network.items(self._tower.whitened(given))
            emb_BD[present] = vectors.cpu().numpy().astype(np.float32)
        missing = sorted(set(range(len(contents))) - set(present))
        detail = "the SPU's prompt has no content embedding"
        return Encoded(
            {"embedding": emb_BD},
            [Problem(row, "content_missing", detail, fatal=True) for row in missing],
        )
