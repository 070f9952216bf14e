"""COPE features: the frozen backbones' outputs for an item, the expensive and cached half of COPE.

Shapes: B items, D features.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.artifacts import Artifact, EncoderInfo, InvalidArtifact, with_outputs
from encoders.backbones.image import (
    ImageBackbone,
    image_weights_sha256,
    image_width,
    load_image_backbone,
    settings_files,
)
from encoders.backbones.picture_words import (
    WordReader,
    load_word_reader,
    word_reader_sha256,
)
from encoders.backbones.text import (
    TextBackbone,
    load_text_backbone,
    text_weights_sha256,
    text_width,
)
from encoders.backbones.weights import InvalidBackbone, check_sha256, sha256_of
from encoders.cope.picture_features import PictureFeatures
from encoders.cope.preprocessing import PARTS, Limits, item_text
from encoders.cope.word_features import WIDTH, word_features
from encoders.hardware import choose_hardware
from encoders.protocol import Batch, Encoded, Problem
from encoders.settings import CopeConfig

KIND = "cope_features"
NO_WORDS = "none"
_WORDS = "words_in_pictures"
_SCENES = "scenes"
JSON = Mapping[str, Any]
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
        **_words_part(settings.words_in_pictures),
        **({_SCENES: sorted(set(settings.scenes))} if settings.scenes else {}),
    }
    width = sum(image_width(image) for image in images)
    widths = {
        "image_features": width,
        "text_features": text_width(text) + words_width(config),
        **({"part_features": PARTS * width} if settings.scenes else {}),
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


def _words_part(name: str) -> JSON:
    if name == NO_WORDS:
        return {}
    return {_WORDS: {"name": name, "sha256": word_reader_sha256(name), "width": WIDTH}}


def words_width(config: JSON) -> int:
    """Return how many numbers of ``text_features`` are of words in pictures; 0 without them.

    Args:
        config: ``config.json`` of a version of the backbones.
    """
    words: Any = config.get(_WORDS)
    return int(words["width"]) if words else 0


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
    scenes: Any = artifact.config.get(_SCENES, ())
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
            _reader(artifact),
            scenes=scenes,
        )
    except InvalidBackbone as error:
        raise InvalidArtifact(f"encoder {artifact.version}: {error}") from error


def _reader(artifact: Artifact) -> WordReader | None:
    if not words_width(artifact.config):
        return None
    words = _named(artifact, _WORDS, artifact.config[_WORDS])
    return load_word_reader(words["name"], words["sha256"])


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


class CopeFeatures:
    """The ``cope_features`` encoder; see ``encoders/protocol.py``.

    Args:
        scenes: domains whose pictures also have ``part_features``: the image features of each of
            their parts, one after the other.
    """

    inputs = ("domain", "title", "text", "images")

    def __init__(
        self,
        version: str,
        images: Sequence[ImageBackbone],
        text: TextBackbone,
        limits: Limits,
        reader: WordReader | None = None,
        *,
        scenes: Sequence[str] = (),
    ) -> None:
        self._version, self._text, self._limits = version, text, limits
        self._pictures = PictureFeatures(images, limits, reader, scenes)
        self._has_scenes = bool(scenes)
        self._text_width = text.width + (WIDTH if reader else 0)
        self._reads_words = reader is not None

    @property
    def version(self) -> str:
        return self._version

    @property
    def outputs(self) -> Mapping[str, int]:
        width = self._pictures.width
        parts = {"part_features": PARTS * width} if self._has_scenes else {}
        return {"image_features": width, "text_features": self._text_width, **parts}

    def length(self, row: Mapping[str, object]) -> int:
        """Pictures weigh most; among rows of as many pictures, the tokens of the text order.

        Tokens and not characters: texts share a batch of the backbone where they have as many.
        """
        text = item_text(row.get("title"), row.get("text"), self._limits)
        tokens = len(self._text.tokenize([text])[0]) if text else 0
        return (
            _TOKENS_A_PICTURE * self._pictures.views(row.get("domain"), row.get("images")) + tokens
        )

    def encode(self, batch: Batch) -> Encoded:
        """Encode items; NaN where a modality is absent or not one picture can be read."""
        pictures = self._pictures.encode(batch["domain"], batch["images"])
        text_BD, unread = self._encode_texts(batch["title"], batch["text"])
        if self._reads_words:
            text_BD = _with_words(text_BD, batch["title"], pictures.words_B)
        problems = [*pictures.problems, *unread]
        vectors = {"image_features": pictures.features_BD, "text_features": text_BD}
        if self._has_scenes:
            width = self.outputs["part_features"]
            vectors["part_features"] = pictures.parts_BPD.reshape(len(text_BD), width)
        fatal = [problem.row for problem in problems if problem.fatal]
        for vectors_BX in vectors.values():
            vectors_BX[fatal] = np.nan
        return Encoded(vectors, problems)

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


def _with_words(text_BD: Features, titles: Sequence[object], words_B: Sequence[str]) -> Features:
    """Return the texts' features and those of titles and words in pictures, side by side.

    Zeros where one of them is missing, NaN where both are.
    """
    spelled = [
        f"{title if isinstance(title, str) else ''} {words}"
        for title, words in zip(titles, words_B, strict=True)
    ]
    words_BW = word_features(spelled) if spelled else np.zeros((0, WIDTH), np.float32)
    both_BX = np.concatenate((np.nan_to_num(text_BD), words_BW), axis=1)
    both_BX[~both_BX.any(axis=1)] = np.nan
    return both_BX


def _stacked(vectors: Sequence[Features], width: int) -> Features:
    return np.stack(vectors) if vectors else np.zeros((0, width), np.float32)
