"""Pictures of an item: read and hash those that can be used, and refuse the others."""

import os
import stat
import warnings
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from encoders.machine_faults import raise_machine_fault
from spark_jobs.config import IngestConfig
from spark_jobs.ingest.media.folders import MediaFolders, UnusableMedia

# Pictures come from strangers: decoders of other formats, such as EPS, start programs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")


@dataclass(frozen=True)
class Picture:
    """A picture that can be used.

    Attributes:
        uri: absolute path.
        sha256: of the file's bytes.
    """

    uri: str
    sha256: str


@dataclass(frozen=True)
class RefusedPicture:
    """A picture that is left out of its item.

    Attributes:
        path: as the source wrote it.
        reason: ``image_outside_feed``, ``image_missing``, ``image_too_large``, ``image_corrupt``
            or ``image_surplus``; see ``PICTURE_REASONS`` in ``row_checks.py``.
        detail: the problem in words, for a person.
    """

    path: str
    reason: str
    detail: str


def read_picture(media: MediaFolders, path: str, limits: IngestConfig) -> Picture | RefusedPicture:
    """Read a picture's bytes and header; pixels are left to the encoder.

    Args:
        path: as the source wrote it.

    Raises:
        MachineFault: it cannot be read because of the machine, not the picture.
    """
    uri = path
    try:
        uri = media.file_of(path)
        return _read(uri, limits)
    except UnusableMedia as error:
        return RefusedPicture(path, error.reason, error.detail)
    except (OSError, MemoryError) as error:
        raise_machine_fault(error, uri)
        detail = getattr(error, "strerror", None) or "cannot be read"
        return RefusedPicture(path, "image_missing", detail)


def read_pictures(
    media: MediaFolders, paths: list[str | None], limits: IngestConfig
) -> tuple[list[Picture], list[RefusedPicture]]:
    """Read an item's pictures, in order; those over ``max_images`` are refused unread."""
    outcomes = [read_picture(media, path or "", limits) for path in paths[: limits.max_images]]
    outcomes += [
        RefusedPicture(path or "", "image_surplus", f"an item has at most {limits.max_images}")
        for path in paths[limits.max_images :]
    ]
    taken = [outcome for outcome in outcomes if isinstance(outcome, Picture)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, RefusedPicture)]
    return taken, refused


def _read(uri: str, limits: IngestConfig) -> Picture:
    status = os.stat(uri)
    # Reading a pipe or a device might never end.
    if not stat.S_ISREG(status.st_mode):
        raise UnusableMedia("image_missing", f"{uri!r} is no file")
    if status.st_size > limits.max_image_bytes:
        detail = f"{status.st_size} bytes, at most {limits.max_image_bytes}"
        raise UnusableMedia("image_too_large", detail)
    with open(uri, "rb") as file:
        content = file.read(limits.max_image_bytes + 1)
    check_header(content, uri, limits.max_image_pixels)
    return Picture(uri, sha256(content).hexdigest())


def check_header(content: bytes, uri: str, max_pixels: int) -> None:
    """Refuse bytes that are no picture, or one of too many pixels.

    Raises:
        UnusableMedia: ``image_corrupt`` or ``image_too_large``.
        MachineFault: the machine, and not the picture, is why it cannot be read.
    """
    try:
        with warnings.catch_warnings():
            # PIL has its own limit of pixels, and warns near it.
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(content), formats=FORMATS) as image:
                width, height = image.size
    except Image.DecompressionBombError as error:
        raise UnusableMedia("image_too_large", str(error)) from None
    except UnidentifiedImageError:
        raise UnusableMedia("image_corrupt", f"is none of {', '.join(FORMATS)}") from None
    # PIL's decoders raise almost any exception for a broken header; none of them may stop a night.
    except Exception as error:
        raise_machine_fault(error, uri)
        detail = f"{type(error).__name__}: {str(error)[:200]}"
        raise UnusableMedia("image_corrupt", detail) from None
    if width * height > max_pixels:
        detail = f"{width} x {height} pixels, at most {max_pixels}"
        raise UnusableMedia("image_too_large", detail)
