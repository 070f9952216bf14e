import base64
import hashlib
import io
from pathlib import Path

import pytest
from PIL import Image

from spark_jobs.report.lookups import THUMBNAIL_SIDE, thumbnail


@pytest.fixture
def shot(tmp_path: Path) -> tuple[str, str]:
    path = tmp_path / "shot.png"
    Image.new("RGBA", (400, 200), (255, 0, 0, 128)).save(path)
    return str(path), hashlib.sha256(path.read_bytes()).hexdigest()


def test_thumbnail_is_a_small_picture_in_a_data_uri(shot: tuple[str, str]) -> None:
    drawn = thumbnail(*shot, max_pixels=1_000_000)

    kind, _, data = (drawn.source or "").partition(",")
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert kind == "data:image/webp;base64"
        assert picture.size == (THUMBNAIL_SIDE, THUMBNAIL_SIDE // 2)


@pytest.mark.parametrize(
    ("break_it", "max_pixels", "reason"),
    [
        (lambda path: path.unlink(), 1_000_000, "no longer where it was"),
        (lambda path: path.write_bytes(b"other"), 1_000_000, "bytes have changed"),
        (lambda path: None, 100, "too large"),
    ],
)
def test_a_picture_that_cannot_be_shown_has_a_reason(shot, break_it, max_pixels, reason) -> None:
    break_it(Path(shot[0]))

    drawn = thumbnail(*shot, max_pixels=max_pixels)

    assert drawn.source is None
    assert reason in drawn.missing


def test_bytes_that_are_no_picture_have_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "shot.jpg"
    path.write_bytes(b"no picture")

    drawn = thumbnail(str(path), hashlib.sha256(b"no picture").hexdigest(), max_pixels=100)

    assert drawn.missing == "the picture cannot be decoded"
