import base64
import hashlib
import io
from pathlib import Path

import av
import pytest
from PIL import Image

from encoders.video_frames import sha256_of_frame
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


def test_a_frame_of_a_video_has_a_thumbnail(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 400, 200, "yuv420p"
        frame = av.VideoFrame.from_image(Image.new("RGB", (400, 200), "red"))
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)
    uri = f"{path}#t=0.000"

    drawn = thumbnail(uri, sha256_of_frame(uri), max_pixels=1_000_000)

    assert (drawn.source or "").startswith("data:image/webp;base64,")


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
