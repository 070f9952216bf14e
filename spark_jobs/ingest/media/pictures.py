"""Pictures: read and hash a file that can be used, and refuse any other."""

import re
import warnings
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from threading import Lock

from PIL import Image, UnidentifiedImageError

from encoders.machine_faults import raise_machine_fault
from spark_jobs.ingest.media.folders import UnusableMedia, check_size
from spark_jobs.ingest_config import IngestConfig

# Pictures come from strangers: decoders of other formats, such as EPS, start programs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")
# What is found in place of such a picture, by how it begins.
_OTHERS = (
    ("HEIC", re.compile(rb"....ftyp(hei[cmsx]|hev[cm]|mif1|msf1)", re.DOTALL)),
    ("JPEG XL", re.compile(rb"\xff\x0a|\x00\x00\x00\x0cJXL ")),
    ("TIFF", re.compile(rb"II\*\x00|MM\x00\*")),
    ("PDF", re.compile(rb"%PDF")),
    ("an HTML page", re.compile(rb"\s*<(!doctype html|html)", re.IGNORECASE)),
    ("SVG", re.compile(rb"\s*(<\?xml[^>]*>\s*)?<svg", re.IGNORECASE)),
)
# Filters of warnings are the process's, and downloads run in threads.
_WARNINGS = Lock()


@dataclass(frozen=True)
class Picture:
    """A picture that can be used.

    Attributes:
        uri: absolute path, or the URI of a file in an object store.
        sha256: of the file's bytes.
    """

    uri: str
    sha256: str


@dataclass(frozen=True)
class RefusedPicture:
    """A picture that is left out of its item.

    Attributes:
        path: as the source wrote it; a URL without secrets.
        reason: one of ``PICTURE_REASONS`` in ``row_checks.py``.
        detail: the problem in words, for a person.
    """

    path: str
    reason: str
    detail: str


def read_picture(uri: str, limits: IngestConfig) -> Picture:
    """Read a picture's bytes and header; pixels are left to the encoder.

    Raises:
        UnusableMedia: it cannot be used.
        OSError: it cannot be read.
    """
    check_size(uri, limits.max_image_bytes)
    with open(uri, "rb") as file:
        content = file.read(limits.max_image_bytes + 1)
    check_header(content, uri, limits.max_image_pixels)
    return Picture(uri, sha256(content).hexdigest())


def _kind(content: bytes) -> str:
    """Say what bytes are that are no picture of ours."""
    if not content:
        return "is empty"
    found = (f"is {name}" for name, begins in _OTHERS if begins.match(content))
    return next(found, f"is of no known format, and begins with {content[:8]!r}")


def check_header(content: bytes, uri: str, max_pixels: int) -> None:
    """Refuse bytes that are no picture, or one of too many pixels.

    Raises:
        UnusableMedia: ``image_corrupt`` or ``image_too_large``.
        MachineFault: the machine, and not the picture, is why it cannot be read.
    """
    try:
        with _WARNINGS, warnings.catch_warnings():
            # PIL has its own limit of pixels, and warns near it.
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(content), formats=FORMATS) as image:
                width, height = image.size
    except Image.DecompressionBombError as error:
        raise UnusableMedia("image_too_large", str(error)) from None
    except UnidentifiedImageError:
        detail = f"{_kind(content)}; should be one of {', '.join(FORMATS)}"
        raise UnusableMedia("image_corrupt", detail) from None
    # PIL's decoders raise almost any exception for a broken header; none of them may stop a night.
    except Exception as error:
        raise_machine_fault(error, uri)
        detail = f"{type(error).__name__}: {str(error)[:200]}"
        raise UnusableMedia("image_corrupt", detail) from None
    if width * height > max_pixels:
        detail = f"{width} x {height} pixels, at most {max_pixels}"
        raise UnusableMedia("image_too_large", detail)
