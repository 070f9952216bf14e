"""Words in pictures: what is printed on a package, a sign or a slide, by OCR.

PP-OCRv4 (https://github.com/PaddlePaddle/PaddleOCR, Apache-2.0) finds lines of text, turns them
upright and reads them; the package ``rapidocr-onnxruntime`` carries its three networks. It reads
Latin letters, digits and Chinese.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoders.backbones.weights import InvalidBackbone, check_sha256, package_file, sha256_of

PP_OCR = "pp-ocrv4"
_PACKAGE = "rapidocr_onnxruntime"
_FILES = (
    "ch_PP-OCRv4_det_infer.onnx",
    "ch_PP-OCRv4_rec_infer.onnx",
    "ch_ppocr_mobile_v2.0_cls_infer.onnx",
)
_LONGER_SIDE = 1_024
# The detector enlarges the shorter side to 736 pixels, whatever becomes of the longer one.
_MOST_TIMES_LONGER = 3
# Letters of fewer pixels than these are not to be read.
_SHORTER_SIDE = 16
# A line of lower confidence is noise more often than words.
_LEAST_CONFIDENCE = 0.5
_WORD = re.compile(r"\w{2}")

Lines = Callable[[NDArray[np.uint8]], list[tuple[str, float]]]


@dataclass(frozen=True)
class WordReader:
    """OCR, and which of its lines count.

    Attributes:
        lines: a picture, uint8 [H, W, 3] as RGB -> its lines and their confidence, from the top.
    """

    name: str
    lines: Lines

    def words(self, picture: Image.Image) -> str:
        """Return the words of an RGB picture, separated by blanks; empty without any."""
        if min(picture.size) < _SHORTER_SIDE:
            return ""
        lines = self.lines(np.asarray(_readable(picture)))
        return " ".join(
            line
            for line, confidence in lines
            if confidence >= _LEAST_CONFIDENCE and _WORD.search(line)
        )


def _readable(picture: Image.Image) -> Image.Image:
    """Return a picture of at most ``_LONGER_SIDE``, white beside it where it is a narrow strip."""
    smaller = picture.copy()
    smaller.thumbnail((_LONGER_SIDE, _LONGER_SIDE))
    least = -(-max(smaller.size) // _MOST_TIMES_LONGER)
    if min(smaller.size) >= least:
        return smaller
    padded = Image.new("RGB", (max(smaller.width, least), max(smaller.height, least)), "white")
    padded.paste(smaller, (0, 0))
    return padded


def load_word_reader(name: str, sha256: str) -> WordReader:
    """Load OCR by name, for one thread of a CPU.

    Args:
        sha256: hash that its weights must have.

    Raises:
        InvalidBackbone: unknown name, missing package, or weights with another hash.
    """
    check_sha256(word_reader_files(name), sha256, name)
    from rapidocr_onnxruntime import RapidOCR

    ocr = RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)

    def lines(picture_HWC: NDArray[np.uint8]) -> list[tuple[str, float]]:
        found, _ = ocr(np.ascontiguousarray(picture_HWC[:, :, ::-1]))  # it takes BGR
        return [(str(text), float(confidence)) for _, text, confidence in found or ()]

    return WordReader(name, lines)


def word_reader_files(name: str) -> list[Path]:
    """Return the files that hold the weights of a reader.

    Raises:
        InvalidBackbone: unknown name, or its package is not installed.
    """
    if name != PP_OCR:
        raise InvalidBackbone(f"reader of words in pictures should be {PP_OCR!r}, but is {name!r}.")
    if find_spec(_PACKAGE) is None:
        raise InvalidBackbone(
            "package 'rapidocr-onnxruntime', which reads words in pictures, is not installed. Run "
            "pip install 'embedmill[words]', or set words_in_pictures = \"none\" in [cope]."
        )
    return [package_file(_PACKAGE, "models", file) for file in _FILES]


def word_reader_sha256(name: str) -> str:
    """Return the hash that a reader's weights are pinned by."""
    return sha256_of(word_reader_files(name))
