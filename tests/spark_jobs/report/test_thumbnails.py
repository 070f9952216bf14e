import base64
import hashlib
import io
from pathlib import Path

import pytest
from PIL import Image

from spark_jobs.report.thumbnails import SIDE, thumbnail


@pytest.fixture
def shot(tmp_path: Path) -> tuple[str, str]:
    path = tmp_path / "shot.png"
    Image.new("RGBA", (400, 200), (255, 0, 0, 128)).save(path)
    return str(path), hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_thumbnail_is_a_small_picture_in_a_data_uri(shot: tuple[str, str]) -> None:
    drawn = thumbnail(*shot, max_pixels=1_000_000)

    kind, _, data = (drawn.source or "").partition(",")
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert kind == "data:image/webp;base64"
        assert picture.size == (SIDE, SIDE // 2)


@pytest.mark.parametrize(
    ("break_it", "max_pixels", "said"),
    [
        (lambda path: path.unlink(), 1_000_000, "no longer where it was"),
        (lambda path: path.write_bytes(b"other"), 1_000_000, "bytes have changed"),
        (lambda path: None, 100, "too large"),
    ],
)
def test_a_picture_that_cannot_be_shown_says_why(shot, break_it, max_pixels, said) -> None:
    break_it(Path(shot[0]))

    drawn = thumbnail(*shot, max_pixels=max_pixels)

    assert drawn.source is None
    assert said in drawn.missing


def test_bytes_that_are_no_picture_say_so(tmp_path: Path) -> None:
    path = tmp_path / "shot.jpg"
    path.write_bytes(b"no picture")

    drawn = thumbnail(str(path), hashlib.sha256(b"no picture").hexdigest(), max_pixels=100)

    assert drawn.missing == "the picture cannot be decoded"
