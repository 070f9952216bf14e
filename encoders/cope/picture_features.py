"""Features of an item's pictures: the mean of what the image backbones give, and their words.

Of items of scenes there are also features of the parts of their pictures, each the mean of what
lies at one place of the pictures: a camera mostly stands still while products change.

A picture of a page counts twice, as it is and in a white frame. A product fills the picture of its
page and less of a photo or a frame of a video, and networks tell sizes apart; see
``docs/results/2026-12-01-cope-quality.md``.

Shapes: B items or views, C channels, H height, W width, D features, P parts.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from encoders.backbones.image import ImageBackbone
from encoders.backbones.picture_words import WordReader
from encoders.cope.preprocessing import (
    PARTS,
    BadPicture,
    Limits,
    in_frame,
    read_picture,
    scene_parts,
)
from encoders.machine_faults import raise_machine_fault
from encoders.protocol import Problem

Features = NDArray[np.float32]
_VIEWS_AT_ONCE = 64
_FRAMED_DOMAIN = "page"


@dataclass(frozen=True, order=True)
class _View:
    """How the backbones see a picture.

    Attributes:
        frame: percent of its shorter side that it is shown in.
        part: its place in ``scene_parts``; 0 is the whole.
    """

    frame: int = 100
    part: int = 0


_PARTS = [_View(part=part) for part in range(1, PARTS + 1)]
_Seen = tuple[str, _View]  # SHA-256 of a picture, and how it is seen


@dataclass(frozen=True)
class _Shown:
    """The pictures of an item, as URI and SHA-256, and the views of each."""

    pictures: Sequence[tuple[str, str]]
    views: Sequence[_View]

    @property
    def distinct(self) -> list[str]:
        """SHA-256 of each picture, once."""
        return list(dict.fromkeys(sha256 for _, sha256 in self.pictures))

    @property
    def whole(self) -> list[_Seen]:
        return [(sha256, v) for _, sha256 in self.pictures for v in self.views if not v.part]

    def at(self, part: _View) -> list[_Seen]:
        """Return one part of each picture; none where it is no scene."""
        return [(sha256, part) for _, sha256 in self.pictures if part in self.views]


@dataclass(frozen=True)
class EncodedPictures:
    """What the pictures of items show.

    Attributes:
        features_BD: NaN where not one picture can be read.
        parts_BPD: NaN of items of other domains, and of pictures too small for parts; no part
            where no domain has scenes.
        words_B: of all pictures of an item, in their order; empty without any.
    """

    features_BD: Features
    parts_BPD: Features
    words_B: Sequence[str]
    problems: Sequence[Problem]


@dataclass(frozen=True)
class _Read:
    """Pictures by what was read: their views, their words, and what could not be read."""

    features: dict[_Seen, Features] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    bad: dict[str, BadPicture] = field(default_factory=dict)


class PictureFeatures:
    """Image backbones side by side, over the pictures of items.

    Args:
        reader: of words; None where they are not read.
        scenes: domains whose pictures are seen in parts too.
    """

    def __init__(
        self,
        backbones: Sequence[ImageBackbone],
        limits: Limits,
        reader: WordReader | None = None,
        scenes: Collection[object] = (),
    ) -> None:
        self._backbones, self._limits, self._reader = backbones, limits, reader
        self._scenes = scenes
        self.width = sum(backbone.width for backbone in backbones)

    def views(self, domain: object, images: object) -> int:
        """Return how many pictures the backbones see of an item."""
        shown = self._shown(domain, images)
        return len(shown.pictures) * len(shown.views)

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
        words = [
            " ".join(words for sha256 in item.distinct if (words := read.words.get(sha256)))
            for item in shown
        ]
        parts_BPD = np.empty((len(shown), PARTS if self._scenes else 0, self.width), np.float32)
        for place in range(parts_BPD.shape[1]):
            parts_BPD[:, place] = self._means([item.at(_PARTS[place]) for item in shown], read)
        return EncodedPictures(
            features_BD=self._means([item.whole for item in shown], read),
            parts_BPD=parts_BPD,
            words_B=words,
            problems=problems,
        )

    def _shown(self, domain: object, images: object) -> _Shown:
        if images is None:
            return _Shown([], [])
        if not isinstance(images, Iterable):
            raise TypeError(f"images should be a list of uri and sha256, but is {images!r}.")
        first = islice(images, self._limits.max_images)
        is_framed = domain == _FRAMED_DOMAIN and self._limits.page_frame > 100
        frames = [_View(self._limits.page_frame)] if is_framed else []
        parts = _PARTS if domain in self._scenes else []
        pictures = [(image["uri"], image["sha256"]) for image in first]
        return _Shown(pictures, [_View(), *frames, *parts])

    def _means(self, seen: Sequence[Sequence[_Seen]], read: _Read) -> Features:
        """Return the mean over what could be read of each item [B, D]; NaN where nothing."""
        means_BD = np.full((len(seen), self.width), np.nan, np.float32)
        for row, of_item in enumerate(seen):
            vectors = [read.features[view] for view in of_item if view in read.features]
            if vectors:
                total_D: NDArray[np.float64] = np.sum(np.stack(vectors), axis=0, dtype=np.float64)
                means_BD[row] = total_D / len(vectors)
        return means_BD

    def _read(self, shown: Sequence[_Shown]) -> _Read:
        """Read each picture once."""
        # Merchants show the same picture, each from a file of its own.
        places: dict[str, list[str]] = {}
        views: dict[str, set[_View]] = {}
        for item in shown:
            for uri, sha256 in item.pictures:
                places.setdefault(sha256, []).append(uri)
                views.setdefault(sha256, set()).update(item.views)
        read = _Read()
        queue = iter(places)
        # A few at a time: what is decoded is large.
        at_once = _VIEWS_AT_ONCE // (1 + PARTS if self._scenes else 2)
        while chunk := list(islice(queue, at_once)):
            pixels: dict[_Seen, list[torch.Tensor]] = {}
            for sha256 in chunk:
                decoded = self._decoded(sha256, list(dict.fromkeys(places[sha256])))
                if isinstance(decoded, BadPicture):
                    read.bad[sha256] = decoded
                    continue
                pixels.update(self._pixels(sha256, decoded, sorted(views[sha256])))
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
        self, sha256: str, picture: Image.Image, views: Sequence[_View]
    ) -> Iterator[tuple[_Seen, list[torch.Tensor]]]:
        """Yield each view with the input of each backbone; no part of a small picture."""
        parts = scene_parts(picture) if any(view.part for view in views) else [picture]
        for view in views:
            if view.part < len(parts):
                seen = parts[view.part]
                if view.frame != 100:
                    seen = in_frame(seen, view.frame, side=self._side)
                yield (sha256, view), [backbone.pixels(seen) for backbone in self._backbones]

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
