"""Facts about encoders that the platform needs without loading them: where, how wide, how many.

What they are like comes from ``config.json`` of the encoder version, never from the configuration
of tonight: two releases may differ.
"""

import json
from collections.abc import Mapping
from typing import Any

import fsspec

from spark_jobs.warehouse.tables import Tables


class EncoderMissing(LookupError):
    """The folder of an encoder version is not where it should be."""


def encoder_config(tables: Tables, version: str) -> Mapping[str, Any]:
    """Return an encoder version's ``config.json``.

    Raises:
        EncoderMissing: it is not there.
    """
    path = tables.layout.encoder(version)
    try:
        with fsspec.open(f"{path}/config.json") as file:
            config: Mapping[str, Any] = json.load(file)
    except FileNotFoundError as error:
        raise EncoderMissing(
            f"encoder {version!r} should be in {path!r}, but that has no config.json. Restore the "
            "folder from a copy; or make another release live (embedmill release rollback) and "
            "retire those of this encoder."
        ) from error
    return config


def vector_width(tables: Tables, version: str) -> int:
    """Return how many numbers a vector of an encoder has."""
    config = encoder_config(tables, version)
    # Trained encoders keep their architecture apart, under the name of the part that is trained.
    for part in (config, config.get("heads", {}), config.get("towers", {})):
        if "dim" in part:
            return int(part["dim"])
    raise ValueError(f"encoder {version!r} says nothing of the width of its vectors: {config!r}.")


def history_length(tables: Tables, version: str) -> int:
    """Return how many events a ``learn_user`` encoder reads of a history."""
    return int(encoder_config(tables, version)["towers"]["max_history"])


def codebook_size(tables: Tables, version: str) -> int:
    """Return how many codes a level of a ``semantic_id`` encoder has."""
    return int(encoder_config(tables, version)["size"])
