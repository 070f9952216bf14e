"""Encoder versions: a folder that says all about an encoder, saved, hashed, checked and loaded.

``<name>@<12 hex>/`` holds ``config.json`` (architecture), ``model.safetensors`` (weights),
``preprocessing.json`` (everything done to an input before the model), ``card.md`` (what it is,
with the hashes of the three) and ``metrics.json`` (held-out figures). The twelve hex digits are of
the hash of the first three.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import fsspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

JSON = Mapping[str, object]

_HASHED = ("config.json", "model.safetensors", "preprocessing.json")
_VERSION = re.compile(r"[a-z0-9_.-]+@[0-9a-f]{12}")


class InvalidArtifact(ValueError):
    """The folder is not an encoder version that may be loaded."""


@dataclass(frozen=True)
class Artifact:
    """The content of an encoder version."""

    name: str
    config: JSON
    preprocessing: JSON
    tensors: Mapping[str, torch.Tensor]
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
    filesystem, root = fsspec.url_to_fs(path.rstrip("/"))
    version = root.rsplit("/", 1)[-1]
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
