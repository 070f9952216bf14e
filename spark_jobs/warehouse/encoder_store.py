"""Encoder versions of a warehouse: what each is, read from its folder without loading it.

Never from tonight's configuration: two releases may differ.
"""

from encoders.artifacts import EncoderInfo, read_info
from spark_jobs.warehouse.tables import Tables


class EncoderMissing(LookupError):
    """The folder of an encoder version is not where it should be."""


def encoder_info(tables: Tables, version: str) -> EncoderInfo:
    """Return what an encoder version is.

    Raises:
        EncoderMissing: it is not there.
    """
    folder = tables.layout.encoder(version)
    try:
        return read_info(folder)
    except FileNotFoundError as error:
        raise EncoderMissing(
            f"encoder {version!r} should be in {folder!r}, but that has no config.json. Restore "
            "the folder from a copy; or make another release live (embedmill release rollback) and "
            "retire those of this encoder."
        ) from error


def vector_width(tables: Tables, version: str) -> int:
    """Return how many numbers the one output of an encoder has."""
    (width,) = encoder_info(tables, version).outputs.values()
    return width


def history_length(tables: Tables, version: str) -> int:
    """Return how many events a ``learn_user`` encoder reads of a history."""
    return encoder_info(tables, version).size("towers", "max_history")


def codebook_size(tables: Tables, version: str) -> int:
    """Return how many codes a level of a ``semantic_id`` encoder has."""
    return encoder_info(tables, version).size("size")
