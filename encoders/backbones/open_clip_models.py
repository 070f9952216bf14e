"""Models of open_clip, by name: a picture tower and a text tower of one space.

Names:
    ``open_clip:<architecture>:<weights file>``: any open_clip architecture, local safetensors. The
        architecture may be a JSON file of one's own.
    ``open_clip:<folder>``: ``open_clip_config.json`` and safetensors weights, as hubs hold them,
        with the tokenizer's files where it is not open_clip's own.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from encoders.backbones.weights import InvalidBackbone, folder_weights

_PREFIX = "open_clip:"
_CONFIG = "open_clip_config.json"
# Where a folder also holds weights for other libraries.
_WEIGHTS = "open_clip_model.safetensors"


@dataclass(frozen=True)
class _Parts:
    """A name taken apart; ``config`` is None for a built-in architecture."""

    architecture: str
    config: Path | None
    weights: Path
    folder: Path | None = None


def is_open_clip(name: str) -> bool:
    """Return whether a backbone is named as one of open_clip."""
    return name.startswith(_PREFIX)


def weight_files(name: str) -> list[Path]:
    """Return the file that holds the weights.

    Raises:
        InvalidBackbone: the name is not of a form above, or a file of it does not exist.
    """
    return [_parts(name).weights]


def settings_files(name: str) -> list[Path]:
    """Return the file that settles architecture and preprocessing, where open_clip does not."""
    config = _parts(name).config
    return [config] if config else []


def width(name: str) -> int:
    """Return the width of the space of both towers, without loading weights."""
    return int(_config(name)["model_cfg"]["embed_dim"])


def load_model(name: str) -> Any:
    """Load both towers, on the CPU.

    Raises:
        InvalidBackbone: unknown architecture, or missing files.
    """
    import open_clip

    with TemporaryDirectory() as folder:
        Path(folder, _CONFIG).write_text(json.dumps(_config(name)))
        Path(folder, _WEIGHTS).symlink_to(_parts(name).weights.absolute())
        return open_clip.create_model(f"local-dir:{folder}").eval()


def load_tokenizer(name: str) -> Callable[[Sequence[str]], torch.Tensor]:
    """Return the tokenizer of the text tower: texts -> ids, padded or cut to its context [B, T].

    Raises:
        InvalidBackbone: the model reads by a tokenizer that is neither open_clip's nor in its
            folder.
    """
    import open_clip

    parts, text = _parts(name), _config(name)["model_cfg"].get("text_cfg", {})
    if parts.folder is not None:
        source = f"local-dir:{parts.folder}"
    elif parts.config is None:
        source = parts.architecture
    elif text.get("hf_tokenizer_name"):
        raise InvalidBackbone(
            f"backbone {name!r} reads texts by the tokenizer {text['hf_tokenizer_name']!r}; give a "
            f"folder (open_clip:<folder>) that holds {_CONFIG}, the weights and its files."
        )
    else:
        context = text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH)
        return open_clip.SimpleTokenizer(  # type: ignore[no-any-return]
            context_length=context, **text.get("tokenizer_kwargs", {})
        )
    try:
        return open_clip.get_tokenizer(source)  # type: ignore[no-any-return]
    except OSError as error:
        raise InvalidBackbone(
            f"backbone {name!r}: its tokenizer {text.get('hf_tokenizer_name')!r} is not to be had: "
            f"{error}. Put the tokenizer's files into a folder with {_CONFIG} and the weights, and "
            "name that (open_clip:<folder>)."
        ) from error


def _parts(name: str) -> _Parts:
    given = name.removeprefix(_PREFIX)
    if (folder := Path(given)).joinpath(_CONFIG).is_file():
        files = folder_weights(folder)
        weights = folder / _WEIGHTS if len(files) > 1 else files[0]
        return _existing(name, _Parts(given, folder / _CONFIG, weights, folder))
    architecture, _, file = given.partition(":")
    config = Path(architecture) if architecture.endswith(".json") else None
    return _existing(name, _Parts(architecture, config, Path(file)))


def _existing(name: str, parts: _Parts) -> _Parts:
    files = [parts.weights, *([parts.config] if parts.config else [])]
    is_there = all(file.is_file() for file in files)
    if not is_there or not parts.architecture or parts.weights.suffix != ".safetensors":
        raise InvalidBackbone(
            f"backbone {name!r} should be open_clip:<architecture>:<existing .safetensors file>, "
            "the architecture a name or an existing .json file; or open_clip:<folder>, with "
            f"{_CONFIG} and one .safetensors file or {_WEIGHTS}."
        )
    return parts


def _config(name: str) -> dict[str, Any]:
    """Return ``model_cfg`` and, where there is one, ``preprocess_cfg``."""
    import open_clip

    parts = _parts(name)
    if parts.config is None:
        config = open_clip.get_model_config(parts.architecture)
        if config is None:
            raise InvalidBackbone(
                f"backbone {name!r}: open_clip has no architecture {parts.architecture!r}; "
                f"it has {open_clip.list_models()}."
            )
        return {"model_cfg": config}
    config = json.loads(parts.config.read_text(encoding="utf-8"))
    config = config if "model_cfg" in config else {"model_cfg": config}
    if "embed_dim" not in config["model_cfg"]:
        raise InvalidBackbone(
            f"backbone {name!r}: {str(parts.config)!r} should be an open_clip configuration "
            "(embed_dim, vision_cfg, text_cfg)."
        )
    return config
