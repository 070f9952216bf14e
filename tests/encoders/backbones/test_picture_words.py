from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from encoders.artifacts import InvalidArtifact, save_artifact
from encoders.backbones import picture_words
from encoders.backbones.picture_words import (
    PP_OCR,
    WordReader,
    load_word_reader,
    word_reader_files,
    word_reader_sha256,
)
from encoders.backbones.weights import InvalidBackbone
from encoders.cope.features import feature_artifact, words_width
from encoders.cope.word_features import WIDTH
from encoders.loading import load_encoder
from encoders.settings import CopeConfig

with_ocr = pytest.mark.skipif(
    find_spec("rapidocr_onnxruntime") is None,
    reason="rapidocr-onnxruntime is not installed: pip install 'embedmill[words]'",
)
CONFIG = CopeConfig(words_in_pictures="pp-ocrv4")


def _label(text: str, size: tuple[int, int] = (400, 160)) -> Image.Image:
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    draw.text((20, 10), text, fill="darkgreen", font=ImageFont.load_default(40))
    return picture


def _letters(words: str) -> str:
    return words.replace(" ", "").upper()


@pytest.mark.heavy
@with_ocr
@pytest.mark.parametrize("degrees", [0, 180])
def test_what_is_printed_is_read_upright_or_not(degrees: int) -> None:
    reader = load_word_reader(PP_OCR, word_reader_sha256(PP_OCR))

    assert _letters(reader.words(_label("OAT MILK").rotate(degrees))) == "OATMILK"


@pytest.mark.heavy
@with_ocr
@pytest.mark.parametrize("size", [(900, 60), (3_000, 200), (100_000, 20), (1, 1), (5, 100_000)])
def test_a_picture_of_any_shape_is_read_or_has_no_words(size: tuple[int, int]) -> None:
    reader = load_word_reader(PP_OCR, word_reader_sha256(PP_OCR))

    found = _letters(reader.words(_label("OAT MILK", size)))

    assert found == ("OATMILK" if size[1] in (60, 200) else "")


def test_lines_without_a_word_or_of_low_confidence_do_not_count() -> None:
    def lines(_: NDArray[np.uint8]) -> list[tuple[str, float]]:
        return [("oat milk", 0.9), ("x", 0.99), ("--", 0.99), ("noise", 0.4), ("1L", 0.5)]

    assert WordReader("test", lines).words(_label("")) == "oat milk 1L"


@pytest.mark.heavy
@with_ocr
def test_a_version_has_the_hash_of_its_ocr_and_loads_with_no_other(tmp_path: Path) -> None:
    artifact = feature_artifact(CONFIG)
    encoder = load_encoder(save_artifact(artifact, str(tmp_path)), precision="float32")

    assert encoder.outputs["text_features"] == 384 + WIDTH
    assert words_width(artifact.config) == WIDTH
    assert artifact.version != feature_artifact(CopeConfig()).version
    altered = {**artifact.config["words_in_pictures"], "sha256": "0" * 64}  # type: ignore[dict-item]
    other = replace(artifact, config={**artifact.config, "words_in_pictures": altered})
    with pytest.raises(InvalidArtifact, match="sha256 should be 0000"):
        load_encoder(save_artifact(other, str(tmp_path)))


def test_without_its_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_words, "find_spec", lambda _: None)

    with pytest.raises(InvalidBackbone, match=r"embedmill\[words\]"):
        word_reader_files(PP_OCR)


def test_an_unknown_reader_is_refused() -> None:
    with pytest.raises(InvalidBackbone, match="should be 'pp-ocrv4', but is 'tesseract'"):
        word_reader_files("tesseract")


def test_versions_without_words_say_nothing_of_them() -> None:
    assert words_width(feature_artifact(CopeConfig()).config) == 0
