"""Preference encoders: trained towers as ``learn_user`` and ``learn_item``.

Shapes: B rows, C content width, F behaviour's width, X width of the towers' input, D dimension,
N contents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.artifacts import Artifact
from encoders.hardware import Hardware, choose_hardware
from encoders.learn.history import History
from encoders.learn.tower_artifacts import ITEM_INPUTS, USER_INPUTS, AnyTowers, artifact_towers
from encoders.learn.towers import TowerConfig
from encoders.learn.transformer_towers import TransformerConfig, TransformerTowers
from encoders.protocol import Batch, Encoded, Problem


def load_user(
    artifact: Artifact, device: str = "auto", precision: str = "auto", context: str | None = None
) -> "LearnUser":
    """Load the user side of the towers.

    Args:
        context: path of a ``.npy`` float32 [N, C + F]: the contents that histories number, and
            their behaviour where the version reads it.

    Raises:
        InvalidArtifact: the weights do not fit the config.
        ValueError: no context, or not such a matrix.
    """
    towers = _Loaded.of(artifact, device, precision)
    if context is None:
        raise ValueError(
            f"encoder {artifact.version} reads contents by number: "
            "give context, the path of their .npy matrix."
        )
    matrix = np.load(context, mmap_mode="r", allow_pickle=False)
    width = towers.config.content_width + towers.config.behaviour_width
    if matrix.ndim != 2 or matrix.shape[1] != width:
        raise ValueError(
            f"context {context!r} should be [n, {width}], but is {list(matrix.shape)}."
        )
    return LearnUser(towers, matrix)


def load_item(artifact: Artifact, device: str = "auto", precision: str = "auto") -> "LearnItem":
    """Load the item side of the towers.

    Raises:
        InvalidArtifact: the weights do not fit the config.
    """
    return LearnItem(_Loaded.of(artifact, device, precision))


@dataclass(frozen=True)
class _Loaded:
    version: str
    towers: AnyTowers
    hardware: Hardware

    @classmethod
    def of(cls, artifact: Artifact, device: str, precision: str) -> "_Loaded":
        # On a CPU float64 costs little beside the language model, and a vector that comes out the
        # same to the last bit in every batch is no false change of a user.
        dtype = {"auto": torch.float64, "float32": torch.float32, "bfloat16": torch.float32}
        chosen = choose_hardware(device, "float32" if precision == "auto" else precision)
        on_cpu = chosen.device.type == "cpu"
        hardware = Hardware(chosen.device, dtype[precision] if on_cpu else torch.float32)
        towers = artifact_towers(artifact).to(device=hardware.device, dtype=hardware.dtype)
        return cls(artifact.version, towers.requires_grad_(False), hardware)

    @property
    def config(self) -> TowerConfig | TransformerConfig:
        return self.towers.config

    def inputs(self, matrix_NW: NDArray[np.float32]) -> torch.Tensor:
        """Return what the towers read, of contents with their behaviour beside them [N, C + F]."""
        given = torch.from_numpy(np.array(matrix_NW)).to(self.hardware.device, self.hardware.dtype)
        width = self.config.content_width
        return self.towers.inputs(given[:, :width], given[:, width:])


class LearnUser:
    """The ``learn_user`` encoder; see ``encoders/protocol.py``."""

    inputs: tuple[str, ...] = USER_INPUTS

    def __init__(self, loaded: _Loaded, matrix_NW: NDArray[np.float32]) -> None:
        self._loaded, self._matrix_NW = loaded, matrix_NW
        if isinstance(loaded.towers, TransformerTowers):
            self.inputs = ("history",)

    @property
    def version(self) -> str:
        return self._loaded.version

    @property
    def outputs(self) -> Mapping[str, int]:
        return {"embedding": self._loaded.config.dim}

    def length(self, row: Mapping[str, object]) -> int:
        history = row["history"]
        return min(len(history), self._loaded.config.max_history) if history is not None else 0  # type: ignore[arg-type]

    def encode(self, batch: Batch) -> Encoded:
        """Encode histories: lists of row numbers of the context, oldest first, and their ages.

        A user without history gets NaN: the vector for all of them stands in the version's config.

        Raises:
            ValueError: a number is not a row of the context, or items and ages do not pair up.
        """
        rows = batch["history"]
        ages = batch.get("ages", [None] * len(rows))
        histories = [self._history(*pair) for pair in zip(rows, ages, strict=True)]
        emb_BD = np.full((len(histories), self._loaded.config.dim), np.nan, np.float32)
        present = [row for row, history in enumerate(histories) if len(history)]
        if present:
            emb_BD[present] = self._encode([histories[row] for row in present])
        return Encoded({"embedding": emb_BD})

    def _history(self, rows: object, ages: object) -> History:
        items = np.asarray([] if rows is None else rows, dtype=np.int64)
        if len(items) and not 0 <= items.min() <= items.max() < len(self._matrix_NW):
            raise ValueError(
                f"history should hold rows of the context, 0 to {len(self._matrix_NW) - 1}, "
                f"but holds {items.min()} to {items.max()}."
            )
        given = History.one_by_one(items) if ages is None else _aged(items, ages)
        return given.newest(self._loaded.config.max_history)

    def _encode(self, histories: Sequence[History]) -> NDArray[np.float32]:
        distinct, where = np.unique(
            np.concatenate([history.items for history in histories]), return_inverse=True
        )
        ends = np.cumsum([len(history) for history in histories])[:-1]
        numbered = [
            History(rows, history.moments)
            for rows, history in zip(np.split(where, ends), histories, strict=True)
        ]
        with torch.inference_mode():
            inputs_NX = self._loaded.inputs(self._matrix_NW[distinct])
            emb_BD = self._loaded.towers.users(inputs_NX, numbered)
        return emb_BD.cpu().numpy().astype(np.float32)


class LearnItem:
    """The ``learn_item`` encoder; see ``encoders/protocol.py``."""

    inputs: tuple[str, ...] = ITEM_INPUTS

    def __init__(self, loaded: _Loaded) -> None:
        self._loaded = loaded
        if isinstance(loaded.towers, TransformerTowers):
            self.inputs = ("content_embedding",)

    @property
    def version(self) -> str:
        return self._loaded.version

    @property
    def outputs(self) -> Mapping[str, int]:
        return {"embedding": self._loaded.config.dim}

    def length(self, row: Mapping[str, object]) -> int:
        return 1

    def encode(self, batch: Batch) -> Encoded:
        """Encode contents with their behaviour; NaN, and a fatal problem, without a content.

        An SPU that nobody met has no behaviour, or zeros.
        """
        contents = batch["content_embedding"]
        behaviours = batch.get("behaviour", [None] * len(contents))
        emb_BD = np.full((len(contents), self._loaded.config.dim), np.nan, np.float32)
        present = [row for row, content in enumerate(contents) if content is not None]
        if present:
            nothing = np.zeros(self._loaded.config.behaviour_width, np.float32)
            given = [
                (contents[row], nothing if behaviours[row] is None else behaviours[row])
                for row in present
            ]
            matrix = np.stack([np.concatenate(pair).astype(np.float32) for pair in given])  # type: ignore[arg-type]
            with torch.inference_mode():
                vectors = self._loaded.towers.items(self._loaded.inputs(matrix))
            emb_BD[present] = vectors.cpu().numpy().astype(np.float32)
        missing = sorted(set(range(len(contents))) - set(present))
        detail = "the SPU's prompt has no content embedding"
        return Encoded(
            {"embedding": emb_BD},
            [Problem(row, "content_missing", detail, fatal=True) for row in missing],
        )


def _aged(items: NDArray[np.int64], ages: object) -> History:
    given = np.asarray(ages, dtype=np.int64)
    if len(given) != len(items):
        raise ValueError(
            f"ages should be as many as the items of the history, {len(items)}, "
            f"but are {len(given)}."
        )
    return History(items, given.max(initial=0) - given)
