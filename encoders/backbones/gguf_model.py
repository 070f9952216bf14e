"""Conversion of a language model that ships as one quantised GGUF file to a transformers folder.

transformers can read such a file at every start, which takes 25 s of processor time for a model of
135M parameters. Here it is done once a machine; a converted folder loads in under a second.
"""

import os
import shutil
import tempfile
from pathlib import Path

from encoders.backbones.weights import InvalidBackbone, sha256_of, transformers_silenced

WEIGHTS = "model.safetensors"
_HASH = "model.safetensors.sha256"


def cache_folder() -> Path:
    """Return ``$XDG_CACHE_HOME/embedmill``, by default ``~/.cache/embedmill``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "embedmill"


def converted_folder(gguf: Path, sha256: str, *, cache: Path | None = None) -> Path:
    """Return the transformers folder of a GGUF file, converted at the first call.

    A folder whose weights are not those that were written there is made again.

    Args:
        sha256: hash that the file must have.
        cache: where converted models are kept; by default ``cache_folder()``.

    Raises:
        InvalidBackbone: the file has another hash, or holds no decoder that transformers can read.
    """
    folder = (cache or cache_folder()) / f"{gguf.stem}-{sha256[:12]}"
    if _is_intact(folder):
        return folder
    found = sha256_of([gguf])
    if found != sha256:
        raise InvalidBackbone(
            f"weights {str(gguf)!r}: sha256 should be {sha256} but is {found}. Restore the file."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _convert(gguf, made)
        _move(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def _is_intact(folder: Path) -> bool:
    weights, recorded = folder / WEIGHTS, folder / _HASH
    return (
        weights.is_file()
        and recorded.is_file()
        and sha256_of([weights]) == recorded.read_text().strip()
    )


def _move(made: Path, folder: Path) -> None:
    """Move a finished folder to its place; of two processes that convert, either may win."""
    if folder.exists() and not _is_intact(folder):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        made.rename(folder)
    except OSError:
        if not _is_intact(folder):
            raise


def _convert(gguf: Path, folder: Path) -> None:
    """Write weights in bfloat16, config and tokenizer.

    Raises:
        InvalidBackbone: transformers does not know the architecture, or the file lacks weights of
            it, which would come out random.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    source = {"gguf_file": gguf.name}
    try:
        with transformers_silenced():
            packed, found = AutoModel.from_pretrained(
                gguf.parent, **source, dtype=torch.bfloat16, output_loading_info=True
            )
    except (KeyError, NotImplementedError, ValueError) as error:
        raise InvalidBackbone(
            f"weights {str(gguf)!r}: a GGUF file of a decoder that transformers can read is "
            f"expected: {error}."
        ) from error
    if found["missing_keys"]:
        raise InvalidBackbone(
            f"weights {str(gguf)!r}: a {packed.config.model_type} model should have "
            f"{', '.join(sorted(found['missing_keys']))}, but the file does not."
        )
    # transformers does not save a model that it read as quantised: its tensors go to a plain one.
    plain = AutoModel.from_config(packed.config, dtype=torch.bfloat16)
    plain.load_state_dict(packed.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, **source).save_pretrained(folder)
    (folder / _HASH).write_text(sha256_of([folder / WEIGHTS]) + "\n")
