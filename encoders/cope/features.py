"""COPE features: the frozen backbones' outputs for an item, the expensive and cached half of COPE.

Shapes: B items, P pictures, D features.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.artifacts import Artifact, EncoderInfo, InvalidArtifact, with_outputs
from encoders.backbones.image import (
    ImageBackbone,
    image_weights_sha256,
    image_width,
    load_image_backbone,
    settings_files,
)
from encoders.backbones.text import (
    TextBackbone,
    load_text_backbone,
    text_weights_sha256,
    weight_files,
)
from encoders.backbones.weights import InvalidBackbone, check_sha256, hidden_size, sha256_of
from encoders.cope.preprocessing import BadPicture, Limits, item_text, read_picture
from encoders.hardware import choose_hardware
from encoders.protocol import Batch, Encoded, Problem
from encoders.settings import CopeConfig

KIND = "cope_features"
JSON = Mapping[str, Any]
_PICTURES_AT_ONCE = 32
_TOKENS_A_PICTURE = 200

Features = NDArray[np.float32]


def feature_artifact(settings: CopeConfig, limits: Limits | None = None) -> Artifact:
    """Return the encoder version of frozen backbones: no weights of its own, the hashes of theirs.

    Raises:
        InvalidBackbone: a backbone is unknown, or its weights are not there.
    """
    images, text = settings.image_backbones, settings.text_backbone
    config = {
        "kind": KIND,
        # One is written down as it always was: another hash would encode all there is again.
        **_image_part(images),
        "text_backbone": {"name": text, "sha256": text_weights_sha256(text)},
    }
    text_folder = weight_files(text)[0].parent
    widths = {
        "image_features": sum(image_width(image) for image in images),
        "text_features": hidden_size(text_folder),
    }
    return Artifact(
        name=KIND,
        config=with_outputs(config, widths),
        preprocessing=(limits or Limits()).as_json(),
        tensors={},
        metrics={},
        description=f"Frozen backbones of COPE: {', '.join(images)} (mean over pictures), {text} "
        "for text.",
    )


def _image_part(images: Sequence[str]) -> JSON:
    if len(images) == 1:
        return {"image_backbone": _pinned(images[0])}
    return {"image_backbones": [{**_pinned(i), "width": image_width(i)} for i in images]}


def _pinned(image: str) -> JSON:
    """Return what pins an image backbone."""
    files = settings_files(image)
    pinned = {} if files is None else {"settings_sha256": sha256_of(files)}
    return {"name": image, "sha256": image_weights_sha256(image), **pinned}


def image_widths(info: EncoderInfo) -> list[int]:
    """Return how many numbers each image backbone of a version gives."""
    several: Any = info.config.get("image_backbones")
    if several is None:
        return [info.outputs["image_features"]]
    return [int(backbone["width"]) for backbone in several]


def load_features(
    artifact: Artifact, device: str = "auto", precision: str = "auto"
) -> "CopeFeatures":
    """Load the backbones that an artifact names.

    Raises:
        InvalidArtifact: the backbones are not there, or have other weights than the artifact says.
    """
    hardware = choose_hardware(device, precision)
    limits = Limits.of_version(artifact.preprocessing)
    several: Any = artifact.config.get("image_backbones", [artifact.config.get("image_backbone")])
    images = [_named(artifact, "image_backbones", image) for image in several]
    text = _named(artifact, "text_backbone", artifact.config.get("text_backbone"))
    try:
        for image in images:
            _check_settings(image)
        return CopeFeatures(
            artifact.version,
            [
                load_image_backbone(image["name"], hardware, sha256=image["sha256"])
                for image in images
            ],
            load_text_backbone(
                text["name"], hardware, max_tokens=limits.max_tokens, sha256=text["sha256"]
            ),
            limits,
        )
    except InvalidBackbone as error:
        raise InvalidArtifact(f"encoder {artifact.version}: {error}") from error


def _check_settings(image: Mapping[str, str]) -> None:
    """Refuse an image backbone that is not built and fed as it was when its version was made.

    Raises:
        InvalidBackbone: the library's settings are others, or are not pinned.
    """
    settings = settings_files(image["name"])
    if settings is None:
        return
    if "settings_sha256" not in image:
        raise InvalidBackbone(
            f"{image['name']!r} was pinned before December 2026, when we prepared pictures for it "
            "ourselves; its library does now. Train COPE again and release that"
        )
    check_sha256(settings, image["settings_sha256"], image["name"])


def _named(artifact: Artifact, part: str, pinned: object) -> Mapping[str, str]:
    if not isinstance(pinned, dict) or not {"name", "sha256"} <= pinned.keys():
        raise InvalidArtifact(
            f"encoder {artifact.version}: config.json should give name and sha256 of {part}."
        )
    return pinned


@dataclass(frozen=True)
class _Picture:
    uri: str
    sha256: str


class CopeFeatures:
    """The ``cope_features`` encoder; see ``encoders/protocol.py``."""

    inputs = ("domain", "title", "text", "images")

    def __init__(
        self,
        version: str,
        images: Sequence[ImageBackbone],
        text: TextBackbone,
        limits: Limits,
    ) -> None:
        self._version, self._images, self._text, self._limits = version, images, text, limits
        self._image_width = sum(image.width for image in images)

    @property
    def version(self) -> str:
        return self._version

    @property
    def outputs(self) -> Mapping[str, int]:
        return {"image_features": self._image_width, "text_features": self._text.width}

    def length(self, row: Mapping[str, object]) -> int:
        """Pictures weigh most; among rows of as many pictures, the tokens of the text order.

        Tokens and not characters: texts share a batch of the backbone where they have as many.
        """
        text = item_text(row.get("title"), row.get("text"), self._limits)
        tokens = len(self._text.tokenize([text])[0]) if text else 0
        return _TOKENS_A_PICTURE * len(self._pictures(row.get("images"))) + tokens

    def encode(self, batch: Batch) -> Encoded:
        """Encode items; NaN where a modality is absent or not one picture can be read."""
        image_BD, problems = self._encode_images(batch["images"])
        text_BD, unread = self._encode_texts(batch["title"], batch["text"])
        problems += unread
        fatal = [problem.row for problem in problems if problem.fatal]
        image_BD[fatal] = np.nan
        text_BD[fatal] = np.nan
        return Encoded({"image_features": image_BD, "text_features": text_BD}, problems)

    def _encode_texts(
        self, titles: Sequence[object], texts: Sequence[object]
    ) -> tuple[Features, list[Problem]]:
        rows = [
            item_text(title, text, self._limits) for title, text in zip(titles, texts, strict=True)
        ]
        distinct = list(dict.fromkeys(row for row in rows if row is not None))
        tokens = self._text.tokenize(distinct) if distinct else []
        unknown = dict(zip(distinct, map(self._text.unknown_share, tokens), strict=True))
        most = self._limits.max_unknown / 100
        read = [place for place, text in enumerate(distinct) if unknown[text] <= most]
        found = self._text.encode_tokens([tokens[place] for place in read])
        vectors = {distinct[place]: vector for place, vector in zip(read, found, strict=True)}
        nothing = np.full(self._text.width, np.nan, np.float32)
        problems = [
            Problem(row, "text_unknown", f"{unknown[text]:.0%} of its tokens are unknown")
            for row, text in enumerate(rows)
            if text is not None and text not in vectors
        ]
        features = [nothing if text is None else vectors.get(text, nothing) for text in rows]
        return _stacked(features, self._text.width), problems

    def _encode_images(self, rows: Sequence[object]) -> tuple[Features, list[Problem]]:
        pictures = [self._pictures(images) for images in rows]
        # Merchants show the same picture, each from a file of its own.
        places: dict[str, list[str]] = {}
        for picture in dict.fromkeys(picture for row in pictures for picture in row):
            places.setdefault(picture.sha256, []).append(picture.uri)
        results = dict(self._encode_pictures(places))
        problems = [
            Problem(row, bad.reason, bad.detail, bad.fatal)
            for row, shown in enumerate(pictures)
            for sha256 in dict.fromkeys(picture.sha256 for picture in shown)
            if isinstance(bad := results[sha256], BadPicture)
        ]
        means = [self._mean(row, results) for row in pictures]
        return _stacked(means, self._image_width), problems

    def _mean(
        self, pictures: Sequence[_Picture], results: Mapping[str, Features | BadPicture]
    ) -> Features:
        found = [results[picture.sha256] for picture in pictures]
        vectors = [vector for vector in found if not isinstance(vector, BadPicture)]
        if not vectors:
            return np.full(self._image_width, np.nan, np.float32)
        total_D: NDArray[np.float64] = np.sum(np.stack(vectors), axis=0, dtype=np.float64)
        return (total_D / len(vectors)).astype(np.float32)

    def _encode_pictures(
        self, places: Mapping[str, Sequence[str]]
    ) -> Iterator[tuple[str, Features | BadPicture]]:
        """Yield each picture's hash with its features, decoding a few at a time.

        Args:
            places: SHA-256 -> URIs of the files that should have it.
        """
        queue = iter(places.items())
        while chunk := list(islice(queue, _PICTURES_AT_ONCE)):
            pixels: dict[str, list[torch.Tensor]] = {}
            for sha256, uris in chunk:
                decoded = self._pixels(sha256, uris)
                if isinstance(decoded, BadPicture):
                    yield sha256, decoded
                else:
                    pixels[sha256] = decoded
            yield from zip(pixels, self._encode_pixels(list(pixels.values())), strict=True)

    def _encode_pixels(self, pixels: Sequence[Sequence[torch.Tensor]]) -> Features:
        """Return what all backbones say of pictures, side by side [B, D].

        Args:
            pixels: of each picture, the input of each backbone.
        """
        parts = [
            image.encode([inputs[place] for inputs in pixels])
            for place, image in enumerate(self._images)
        ]
        return np.concatenate(parts, axis=1)

    def _pixels(self, sha256: str, uris: Sequence[str]) -> list[torch.Tensor] | BadPicture:
        """Decode the first file that can be read; say what is wrong with the last if none can."""
        first, *others = uris
        side = max(image.side for image in self._images)
        decoded = read_picture(first, sha256, limits=self._limits, side=side)
        if not isinstance(decoded, BadPicture):
            return [image.pixels(decoded) for image in self._images]
        return self._pixels(sha256, others) if others else decoded

    def _pictures(self, images: object) -> list[_Picture]:
        if images is None:
            return []
        if not isinstance(images, Iterable):
            raise TypeError(f"images should be a list of uri and sha256, but is {images!r}.")
        return [
            _Picture(image["uri"], image["sha256"])
            for image in islice(images, self._limits.max_images)
        ]


def _stacked(vectors: Sequence[Features], width: int) -> Features:
    return np.stack(vectors) if vectors else np.zeros((0, width), np.float32)
