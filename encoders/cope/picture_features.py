"""Features of an item's pictures: the mean of what the image backbones give, and their words.

A picture of a page counts twice, as it is and in a white frame. A product fills the picture of its
page and less of a photo or a frame of a video, and networks tell sizes apart; see
``docs/results/2026-12-01-cope-quality.md``.

Shapes: B items or views, C channels, H height, W width, D features.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from encoders.backbones.image import ImageBackbone
from encoders.backbones.picture_words import WordReader
from encoders.cope.preprocessing import BadPicture, Limits, in_frame, read_picture
from encoders.machine_faults import raise_machine_fault
from encoders.protocol import Problem

Features = NDArray[np.float32]
_PICTURES_AT_ONCE = 32
_FRAMED_DOMAIN = "page"


@dataclass(frozen=True)
class _View:
    """A picture as the backbones see it.

    Attributes:
        frame: percent of its shorter side that it is shown in.
    """

    sha256: str
    frame: int


@dataclass(frozen=True)
class _Shown:
    """The pictures of an item, as URI and SHA-256, and the frames that each is shown in."""

    pictures: Sequence[tuple[str, str]]
    frames: Sequence[int]

    @property
    def distinct(self) -> list[str]:
        """SHA-256 of each picture, once."""
        return list(dict.fromkeys(sha256 for _, sha256 in self.pictures))

    @property
    def views(self) -> list[_View]:
        return [_View(sha256, frame) for _, sha256 in self.pictures for frame in self.frames]


@dataclass(frozen=True)
class EncodedPictures:
    """What the pictures of items show.

    Attributes:
        features_BD: NaN where not one picture can be read.
        words_B: of all pictures of an item, in their order; empty without any.
    """

    features_BD: Features
    words_B: Sequence[str]
    problems: Sequence[Problem]


@dataclass(frozen=True)
class _Read:
    """Pictures by what was read: their views, their words, and what could not be read."""

    features: dict[_View, Features] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    bad: dict[str, BadPicture] = field(default_factory=dict)


class PictureFeatures:
    """Image backbones side by side, over the pictures of items.

    Args:
        reader: of words; None where they are not read.
    """

    def __init__(
        self,
        backbones: Sequence[ImageBackbone],
        limits: Limits,
        reader: WordReader | None = None,
    ) -> None:
        self._backbones, self._limits, self._reader = backbones, limits, reader
        self.width = sum(backbone.width for backbone in backbones)

    def views(self, domain: object, images: object) -> int:
        """Return how many pictures the backbones see of an item."""
        return len(self._shown(domain, images).views)

    def encode(self, domains: Sequence[object], rows: Sequence[object]) -> EncodedPictures:
        """Return what the pictures of items show.

        Args:
            rows: of each item its pictures, each a mapping of uri and sha256.
        """
        shown = [self._shown(*row) for row in zip(domains, rows, strict=True)]
        read = self._read(shown)
        problems = [
            Problem(row, bad.reason, bad.detail, bad.fatal)
            for row, item in enumerate(shown)
            for sha256 in item.distinct
            if (bad := read.bad.get(sha256))
        ]
        means = [
            self._mean([read.features[view] for view in item.views if view in read.features])
            for item in shown
        ]
        words = [
            " ".join(words for sha256 in item.distinct if (words := read.words.get(sha256)))
            for item in shown
        ]
        features_BD = np.stack(means) if means else np.zeros((0, self.width), np.float32)
        return EncodedPictures(features_BD, words, problems)

    def _shown(self, domain: object, images: object) -> _Shown:
        if images is None:
            return _Shown([], [])
        if not isinstance(images, Iterable):
            raise TypeError(f"images should be a list of uri and sha256, but is {images!r}.")
        first = islice(images, self._limits.max_images)
        is_framed = domain == _FRAMED_DOMAIN and self._limits.page_frame > 100
        frames = [100, self._limits.page_frame] if is_framed else [100]
        return _Shown([(image["uri"], image["sha256"]) for image in first], frames)

    def _mean(self, vectors: Sequence[Features]) -> Features:
        if not vectors:
            return np.full(self.width, np.nan, np.float32)
        total_D: NDArray[np.float64] = np.sum(np.stack(vectors), axis=0, dtype=np.float64)
        return (total_D / len(vectors)).astype(np.float32)

    def _read(self, shown: Sequence[_Shown]) -> _Read:
        """Read each picture once."""
        # Merchants show the same picture, each from a file of its own.
        places: dict[str, list[str]] = {}
        frames: dict[str, set[int]] = {}
        for item in shown:
            for uri, sha256 in item.pictures:
                places.setdefault(sha256, []).append(uri)
                frames.setdefault(sha256, set()).update(item.frames)
        read = _Read()
        queue = iter(places)
        # A few at a time: what is decoded is large.
        while chunk := list(islice(queue, _PICTURES_AT_ONCE)):
            pixels: dict[_View, list[torch.Tensor]] = {}
            for sha256 in chunk:
                decoded = self._decoded(sha256, list(dict.fromkeys(places[sha256])))
                if isinstance(decoded, BadPicture):
                    read.bad[sha256] = decoded
                    continue
                pixels.update(self._pixels(sha256, decoded, sorted(frames[sha256])))
                words = self._words(decoded, places[sha256][0])
                if isinstance(words, BadPicture):
                    read.bad[sha256] = words
                else:
                    read.words[sha256] = words
            vectors = self._encode_pixels(list(pixels.values()))
            read.features.update(zip(pixels, vectors, strict=True))
        return read

    def _words(self, picture: Image.Image, uri: str) -> str | BadPicture:
        """Return the words of a picture, or why they cannot be read; its views count either way."""
        if self._reader is None:
            return ""
        try:
            return self._reader.words(picture)
        except Exception as error:  # networks and their libraries raise whatever they happen to
            raise_machine_fault(error, uri)
            return BadPicture("words_unread", f"{uri!r}: {type(error).__name__}: {error}")

    def _decoded(self, sha256: str, uris: Sequence[str]) -> Image.Image | BadPicture:
        """Decode the first file that can be read; say what is wrong with the last if none can."""
        for uri in uris:
            decoded = read_picture(uri, sha256, limits=self._limits, side=self._side)
            if not isinstance(decoded, BadPicture):
                break
        return decoded

    @property
    def _side(self) -> int:
        return max(backbone.side for backbone in self._backbones)

    def _pixels(
        self, sha256: str, picture: Image.Image, frames: Sequence[int]
    ) -> Iterator[tuple[_View, list[torch.Tensor]]]:
        """Yield each view with the input of each backbone."""
        for frame in frames:
            seen = picture if frame == 100 else in_frame(picture, frame, side=self._side)
            yield _View(sha256, frame), [backbone.pixels(seen) for backbone in self._backbones]

    def _encode_pixels(self, pixels: Sequence[Sequence[torch.Tensor]]) -> Features:
        """Return what all backbones say of views, side by side [B, D].

        Args:
            pixels: of each view, the input of each backbone.
        """
        parts = [
            backbone.encode([inputs[place] for inputs in pixels])
            for place, backbone in enumerate(self._backbones)
        ]
        return np.concatenate(parts, axis=1)
