"""Encoder versions: folders that hold an encoder, saved, hashed, checked and loaded.

``<name>@<12 hex>/`` holds ``config.json`` (architecture), ``model.safetensors`` (weights),
``preprocessing.json`` (everything done to an input before the model), ``card.md`` (a description,
with the hashes of the three) and ``metrics.json`` (held-out figures). The twelve hex digits are of
the hash of the first three.

Imports torch only to save or load weights: the platform reads ``EncoderInfo`` without it.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fsspec
from safetensors import SafetensorError

if TYPE_CHECKING:
    import torch

JSON = Mapping[str, object]

# Key of ``config.json`` of a ``learn_user`` version: the vector of a user without history. Versions
# from before December 2026 have none.
NO_HISTORY = "no_history"
_HASHED = ("config.json", "model.safetensors", "preprocessing.json")
_VERSION = re.compile(r"[a-z0-9_.-]+@[0-9a-f]{12}")


class InvalidArtifact(ValueError):
    """The folder is not an encoder version that may be loaded."""


@dataclass(frozen=True)
class EncoderInfo:
    """What the platform knows of an encoder version without loading it.

    Attributes:
        folder: where the version lies.
        inputs: columns that it encodes.
        outputs: columns that it returns, and their widths.
        reads: versions of the encoders whose outputs it was trained on, by kind.
        config: ``config.json``, which also has the settings of its kind.
    """

    folder: str
    kind: str
    inputs: tuple[str, ...]
    outputs: Mapping[str, int]
    reads: Mapping[str, str]
    config: JSON

    @property
    def version(self) -> str:
        """``<name>@<12 hex>``."""
        return _version_of(self.folder)

    def size(self, *path: str) -> int:
        """Return a whole number of ``config``, such as ``("towers", "max_history")``.

        Raises:
            InvalidArtifact: it is not there.
        """
        value = _size(self.config, path)
        if value is None:
            raise InvalidArtifact(
                f"encoder {self.version!r}: config.json should give {'.'.join(path)}."
            )
        return value


@dataclass(frozen=True)
class _Implied:
    """What ``config.json`` of a built-in kind implies where it lacks the keys of ``EncoderInfo``.

    Attributes:
        outputs: width of each output, or the path of the key that gives it.
        reads: key that names the version read, by kind.
    """

    inputs: tuple[str, ...]
    outputs: Mapping[str, int | tuple[str, ...]]
    reads: Mapping[str, str]


# Versions saved before December 2026 have none of the keys. Adding what follows from the rest would
# give the same weights another hash, so it is added to what does not follow alone.
_IMPLIED = {
    "cope_features": _Implied(
        ("domain", "title", "text", "images"),
        # The only widths that there were: efficientnet-lite0's and all-minilm-l6-v2's.
        {"image_features": 1280, "text_features": 384},
        {},
    ),
    "cope": _Implied(
        ("domain", "image_features", "text_features"),
        {"embedding": ("heads", "dim")},
        {"cope_features": "features"},
    ),
    "semantic_id": _Implied(("embedding",), {"codes": ("levels",)}, {"cope": "vectors"}),
    "learn_content": _Implied(("prompt",), {"embedding": ("dim",)}, {}),
    "learn_user": _Implied(
        ("history",), {"embedding": ("towers", "dim")}, {"learn_content": "content"}
    ),
    "learn_item": _Implied(
        ("content_embedding",), {"embedding": ("towers", "dim")}, {"learn_content": "content"}
    ),
}


def read_info(folder: str) -> EncoderInfo:
    """Read what an encoder version is from its ``config.json``.

    Raises:
        FileNotFoundError: there is no such file.
        InvalidArtifact: it lacks something that cannot be derived either.
    """
    with fsspec.open(f"{folder.rstrip('/')}/config.json") as file:
        return encoder_info(json.load(file), folder)


def encoder_info(config: JSON, folder: str) -> EncoderInfo:
    """Return what an encoder version is.

    Keys of ``config`` come first; what a built-in kind lacks is derived.

    Raises:
        InvalidArtifact: naming the keys that are missing.
    """
    implied = _implied(config)
    keys = ("kind", "inputs", "outputs", "reads")
    found: dict[str, Any] = {key: config.get(key, implied.get(key)) for key in keys}
    missing = [key for key in keys if found[key] is None]
    if missing:
        raise InvalidArtifact(
            f"encoder {_version_of(folder)!r}: config.json should give {', '.join(missing)}; "
            f"it has {', '.join(sorted(config)) or 'nothing'}."
        )
    return EncoderInfo(
        folder=folder.rstrip("/"),
        kind=str(found["kind"]),
        inputs=tuple(found["inputs"]),
        outputs={name: int(width) for name, width in found["outputs"].items()},
        reads=dict(found["reads"]),
        config=config,
    )


def with_outputs(config: JSON, outputs: Mapping[str, int]) -> JSON:
    """Return a ``config.json`` that gives ``outputs``, as a key only where they are not implied."""
    implied = _implied(config).get("outputs")
    return config if implied == dict(outputs) else {**config, "outputs": dict(outputs)}


def _implied(config: JSON) -> dict[str, Any]:
    kind = _IMPLIED.get(str(config.get("kind")))
    if kind is None:
        return {}
    widths = {
        name: width if isinstance(width, int) else _size(config, width)
        for name, width in kind.outputs.items()
    }
    reads = {read: config.get(key) for read, key in kind.reads.items()}
    return {
        "inputs": kind.inputs,
        "outputs": None if None in widths.values() else widths,
        "reads": None if None in reads.values() else reads,
    }


def _size(config: JSON, path: Sequence[str]) -> int | None:
    value: object = config
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, int) else None


def _version_of(folder: str) -> str:
    return folder.rstrip("/").rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Artifact:
    """The content of an encoder version."""

    name: str
    config: JSON
    preprocessing: JSON
    tensors: Mapping[str, "torch.Tensor"]
    metrics: JSON
    description: str

    @property
    def version(self) -> str:
        """``<name>@<12 hex>`` of the hash of config, weights and preprocessing."""
        digest = hashlib.sha256()
        for file, content in self._hashed_files().items():
            digest.update(f"{file} {hashlib.sha256(content).hexdigest()}\n".encode())
        return f"{self.name}@{digest.hexdigest()[:12]}"

    def _hashed_files(self) -> dict[str, bytes]:
        from safetensors.torch import save as save_tensors

        tensors = {name: tensor.contiguous() for name, tensor in sorted(self.tensors.items())}
        return {
            "config.json": _dump(self.config),
            "model.safetensors": save_tensors(tensors),
            "preprocessing.json": _dump(self.preprocessing),
        }


def save_artifact(artifact: Artifact, folder: str) -> str:
    """Write an encoder version below ``folder`` and return its path; saving it twice is fine."""
    path = f"{folder.rstrip('/')}/{artifact.version}"
    filesystem, root = fsspec.url_to_fs(path)
    files = artifact._hashed_files()
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files["metrics.json"] = _dump(artifact.metrics)
    # The card comes last: a folder without one is a save that was cut short, and is not loaded.
    files["card.md"] = _card(artifact, hashes).encode()
    filesystem.makedirs(root, exist_ok=True)
    for name, content in files.items():
        filesystem.pipe_file(f"{root}/{name}", content)
    return path


def load_artifact(path: str) -> Artifact:
    """Read an encoder version and check it against its card and its name.

    Raises:
        InvalidArtifact: a file is missing, the weights are not safetensors, or a hash is not the
        card's.
    """
    from safetensors.torch import load as load_tensors

    filesystem, root = fsspec.url_to_fs(path.rstrip("/"))
    version = _version_of(root)
    if not _VERSION.fullmatch(version):
        raise InvalidArtifact(f"encoder folder {path!r} should be named <name>@<12 hex>.")
    files = {name: _read(filesystem, root, name) for name in (*_HASHED, "card.md", "metrics.json")}
    card = files["card.md"].decode()
    for name in _HASHED:
        expected = re.search(rf"^sha256 {re.escape(name)}: ([0-9a-f]{{64}})$", card, re.MULTILINE)
        found = hashlib.sha256(files[name]).hexdigest()
        if expected is None or expected.group(1) != found:
            raise InvalidArtifact(
                f"encoder {path!r}: the hash of {name} is {found}, but its card says "
                f"{expected.group(1) if expected else 'nothing'}. "
                "Restore the folder or train the encoder again."
            )
    try:
        tensors = load_tensors(files["model.safetensors"])
    except SafetensorError as error:
        raise InvalidArtifact(
            f"encoder {path!r}: model.safetensors is not safetensors: {error}."
        ) from error
    artifact = Artifact(
        name=version.split("@")[0],
        config=json.loads(files["config.json"]),
        preprocessing=json.loads(files["preprocessing.json"]),
        tensors=tensors,
        metrics=json.loads(files["metrics.json"]),
        description=card.split("\n---\n", 1)[-1].strip(),
    )
    if artifact.version != version:
        raise InvalidArtifact(
            f"encoder {path!r}: its content hashes to {artifact.version}, not to its name."
        )
    return artifact


def _read(filesystem: fsspec.AbstractFileSystem, root: str, name: str) -> bytes:
    try:
        content: bytes = filesystem.cat_file(f"{root}/{name}")
    except FileNotFoundError:
        raise InvalidArtifact(
            f"encoder {root!r}: {name} is missing. Restore the folder or train the encoder again."
        ) from None
    return content


def _dump(content: JSON) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def _card(artifact: Artifact, hashes: Mapping[str, str]) -> str:
    lines = [f"# {artifact.version}", ""]
    lines += [f"sha256 {name}: {digest}" for name, digest in hashes.items()]
    return "\n".join(lines) + f"\n---\n{artifact.description}\n"
