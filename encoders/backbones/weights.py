"""Weights of pretrained parts: files, the hash that pins them, their width, and quiet loading."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

_CHUNK = 1 << 20


class InvalidBackbone(ValueError):
    """A pretrained part cannot be used: unknown, missing, or not the weights it should be."""


def package_file(package: str, *parts: str) -> Path:
    """Return a file or folder that an installed package carries, without importing the package.

    Raises:
        InvalidBackbone: the package is not installed, or does not carry the file.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise InvalidBackbone(
            f"package {package.replace('_', '-')!r}, which carries the weights, is not installed. "
            "Run `make setup`."
        )
    path = Path(spec.origin).parent.joinpath(*parts)
    if not path.exists():
        raise InvalidBackbone(
            f"package {package!r} should carry {'/'.join(parts)!r}, but does not."
        )
    return path


def model_folder(name: str) -> Path:
    """Return the folder of a model: ``name`` itself, or the snapshot of that Hugging Face id.

    Raises:
        InvalidBackbone: neither a folder, nor an id that is in the cache or can be fetched.
    """
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.json", "*.txt", "*.model", "*.safetensors"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InvalidBackbone(
            f"backbone {name!r} is neither a folder nor a Hugging Face model to be had: {error}."
        ) from error


def folder_weights(folder: Path) -> list[Path]:
    """Return the safetensors files of a model folder, in order.

    Raises:
        InvalidBackbone: there are none. Pickled weights are never read.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InvalidBackbone(
            f"model folder {str(folder)!r} holds no *.safetensors file. "
            "Convert its weights to safetensors."
        )
    return files


def hidden_size(folder: Path) -> int:
    """Return the width of a transformer's states, without loading its weights."""
    return _size(folder, "hidden_size")


def layer_count(folder: Path) -> int:
    """Return the number of a transformer's layers, without loading its weights."""
    return _size(folder, "num_hidden_layers")


def most_tokens(folder: Path) -> int | None:
    """Return how many tokens a transformer has places for; None where it does not say."""
    try:
        return _size(folder, "max_position_embeddings")
    except AttributeError:
        return None


def _size(folder: Path, name: str) -> int:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if name in config:
        return int(config[name])
    from transformers import AutoConfig  # knows what else models call it, and takes seconds

    return int(getattr(AutoConfig.from_pretrained(folder), name))


def sha256_of(files: Sequence[Path]) -> str:
    """Return the SHA-256 of one file, or of the hashes of several."""
    digests = []
    for file in files:
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
        digests.append(digest.hexdigest())
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    )


def check_sha256(files: Sequence[Path], expected: str, name: str) -> None:
    """Refuse weights that are not those a version was made with.

    Raises:
        InvalidBackbone: the hash is another.
    """
    found = sha256_of(files)
    if found != expected:
        raise InvalidBackbone(
            f"weights of {name!r} ({', '.join(str(file) for file in files)}): sha256 should be "
            f"{expected} but is {found}. Restore the file, or make a new encoder version of these."
        )


@contextmanager
def transformers_silenced() -> Iterator[None]:
    """Silence transformers' progress bars, and its reports of weights that are left out."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()
