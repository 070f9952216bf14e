"""Preprocessing of COPE: the text and the pictures of an item that the backbones encode.

Pictures are untrusted: their bytes must be those that were ingested, their size is looked at before
a pixel is decoded, and whatever a decoder throws at them costs one picture, never the item or the
night. A machine that is out of memory or of files is another matter: see ``machine_faults.py``.
"""

import hashlib
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import fsspec
from PIL import Image, ImageOps

from encoders.machine_faults import raise_machine_fault
from encoders.video_frames import (
    UnusableVideo,
    VideoTooLarge,
    is_frame,
    read_frame,
    sha256_of_frame,
)

JSON = Mapping[str, object]

# Parts of a scene: of half a side, side by side and in between.
_PART = 0.5
_PART_OFFSETS = (0.0, 0.25, 0.5)
PARTS = len(_PART_OFFSETS) ** 2
# Pixels of a part's shorter side: of less, backbones see colours alone.
_LEAST_PART = 32
_SCHEMES = ("file", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "hdfs", "memory")


@dataclass(frozen=True)
class Limits:
    """What is read of an item.

    Attributes:
        max_images: pictures or frames of an item, the first ones.
        max_pixels: width times height above which a picture is not decoded.
        max_text: characters of the description or transcript: long texts dilute the title.
        max_tokens: of title and text together, special tokens included.
        max_unknown: percent of a text's tokens that the backbone may not know; a text with more is
            not read, since texts of unknown tokens alone all have one vector.
        scaled_depth: 1 where pictures of 16 bits are scaled to 8; 0 where they are clipped.
        page_frame: percent of the shorter side of a page's picture that a second view of it has,
            the rest of which is white; 100 for no second view.
    """

    max_images: int = 8
    max_pixels: int = 50_000_000
    max_text: int = 200
    max_tokens: int = 64
    max_unknown: int = 50
    scaled_depth: int = 1
    page_frame: int = 140

    @classmethod
    def of_version(cls, preprocessing: JSON) -> "Limits":
        """Return the limits of an encoder version; earlier ones lack the last three."""
        earlier = {"max_unknown": 100, "scaled_depth": 0, "page_frame": 100}
        return cls(**earlier | {name: int(str(value)) for name, value in preprocessing.items()})

    def as_json(self) -> JSON:
        return asdict(self)


@dataclass(frozen=True)
class BadPicture:
    """A picture that gives no features.

    Attributes:
        fatal: True where the reason may be gone tomorrow, so that nothing may be kept about the
            item.
    """

    reason: str
    detail: str
    fatal: bool = False


def item_text(title: object, text: object, limits: Limits) -> str | None:
    """Return what the text backbone reads: the title, then the start of the text; None without."""
    title = " ".join(title.split()) if isinstance(title, str) else ""
    text = " ".join(text.split())[: limits.max_text] if isinstance(text, str) else ""
    return ". ".join(part for part in (title, text) if part) or None


def read_picture(uri: str, sha256: str, *, limits: Limits, side: int) -> Image.Image | BadPicture:
    """Return a picture as RGB, upright, its transparent parts white.

    Args:
        uri: local path, a frame of a local video (``a.mp4#t=1.500``), or a URI of a storage that
            fsspec knows.
        sha256: of the bytes, as ingested; of a frame, as ``sha256_of_frame`` has it.
        side: shorter side that will be asked for; JPEGs far above it are decoded at a fraction of
            their size.

    Returns:
        ``BadPicture`` with reason ``image_missing`` or ``image_changed`` (both fatal),
        ``image_too_large`` or ``image_corrupt``.

    Raises:
        MachineFault: the machine, and not the picture, is why it cannot be read.
    """
    is_of_video = is_frame(uri)
    try:
        content = b"" if is_of_video else _read(uri)
        found = sha256_of_frame(uri) if is_of_video else hashlib.sha256(content).hexdigest()
    except (OSError, ValueError, ImportError, MemoryError) as error:
        raise_machine_fault(error, uri)
        return BadPicture("image_missing", f"{uri!r}: {error}", fatal=True)
    if found != sha256:
        detail = f"{uri!r}: sha256 was {sha256} when ingested, but is {found}"
        return BadPicture("image_changed", detail, fatal=True)
    if is_of_video:
        return _decode_frame(uri, limits)
    return decode_picture(content, uri, limits=limits, side=side)


def decode_picture(
    content: bytes, uri: str, *, limits: Limits, side: int
) -> Image.Image | BadPicture:
    """Decode the bytes of a picture; see ``read_picture``."""
    try:
        with warnings.catch_warnings():
            # Pillow warns about size before we can look at it, and about harmless oddities of
            # metadata.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as picture:
                width, height = picture.size
                if width * height > limits.max_pixels:
                    size = f"{width} x {height} pixels, at most {limits.max_pixels} are decoded"
                    return BadPicture("image_too_large", f"{uri!r}: {size}")
                # At least twice the side that is asked for, so that the bicubic filter still has
                # the last word.
                picture.draft("RGB", (2 * side, 2 * side))
                upright = ImageOps.exif_transpose(picture)
                return _rgb(_eight_bits(upright) if limits.scaled_depth else upright)
    except Image.DecompressionBombError as error:
        return BadPicture("image_too_large", f"{uri!r}: {error}")
    except Exception as error:  # decoders raise whatever their format's parser happens to raise
        raise_machine_fault(error, uri)
        return BadPicture("image_corrupt", f"{uri!r}: {type(error).__name__}: {error}")


def in_frame(picture: Image.Image, percent: int, *, side: int) -> Image.Image:
    """Return the middle of a picture in a white square.

    Args:
        percent: of the picture's shorter side that the square has.
        side: that the square will be resized to; a picture far larger is halved before.
    """
    smaller = picture.reduce(max(1, min(picture.size) // (2 * side)))
    square = round(min(smaller.size) * percent / 100)
    framed = Image.new("RGB", (square, square), "white")
    framed.paste(smaller, ((square - smaller.width) // 2, (square - smaller.height) // 2))
    return framed


def scene_parts(picture: Image.Image) -> Sequence[Image.Image]:
    """Return a picture and nine overlapping parts of it; a small picture alone.

    One vector of a picture of several products is a mean of all that it shows, and near to none of
    them. So each part has a vector of its own, and what is looked up scores as high as by the best
    of them: docs/results/2026-12-01-cope-quality.md.
    """
    width, height = picture.size
    if min(width, height) * _PART < _LEAST_PART:
        return [picture]
    boxes = [
        (x * width, y * height, (x + _PART) * width, (y + _PART) * height)
        for y in _PART_OFFSETS
        for x in _PART_OFFSETS
    ]
    return [picture, *(picture.crop(box) for box in boxes)]


def _decode_frame(uri: str, limits: Limits) -> Image.Image | BadPicture:
    try:
        return read_frame(uri, limits.max_pixels)
    except VideoTooLarge as error:
        return BadPicture("image_too_large", f"{uri!r}: {error}")
    except UnusableVideo as error:
        return BadPicture("image_corrupt", f"{uri!r}: {error}")


def _read(uri: str) -> bytes:
    scheme, separator, _ = uri.partition("://")
    if not separator:
        with open(uri, "rb") as file:
            return file.read()
    if scheme not in _SCHEMES:
        raise ValueError(f"scheme should be one of {_SCHEMES}, but is {scheme!r}")
    filesystem, path = fsspec.url_to_fs(uri)
    content: bytes = filesystem.cat_file(path)
    return content


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Scale a grey picture of 16 bits to 8; converting it clips all but the darkest to white."""
    if picture.mode.startswith("I"):
        return picture.convert("I").point(lambda value: value / 257).convert("L")
    return picture


def _rgb(picture: Image.Image) -> Image.Image:
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layers = picture.convert("RGBA")
    white = Image.new("RGBA", layers.size, "white")
    return Image.alpha_composite(white, layers).convert("RGB")
