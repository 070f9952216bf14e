"""An item's media together: pictures, videos and slices of recordings."""

from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from encoders.cope.preprocessing import Limits
from encoders.cope.preprocessing import read_picture as encoders_picture
from spark_jobs.ingest.media.folders import MediaFolders
from spark_jobs.ingest.media.item_media import MediaReader
from spark_jobs.ingest.media.pictures import Picture, RefusedPicture
from spark_jobs.ingest_config import IngestConfig

FRAMES, FPS = 40, 10


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture, and a recording of 4 seconds that grows lighter."""
    folder = tmp_path_factory.mktemp("feed")
    Image.new("RGB", (10, 10), "red").save(folder / "cover#t=1.jpg")
    with av.open(str(folder / "rec.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(FRAMES):
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 48), (20 + 5 * number,) * 3))
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    (folder / "cut.mp4").write_bytes((folder / "rec.mp4").read_bytes()[:700])
    (folder / "page.webm").write_text("<!doctype html>")
    return folder


def read(feed: Path, *paths: str, **limits: int) -> tuple[list[Picture], list[RefusedPicture]]:
    return MediaReader(IngestConfig(**limits)).read(MediaFolders("clips", str(feed)), paths)


def shown(pictures: list[Picture]) -> list[int]:
    """Return which frames the encoder decodes."""
    frames = [
        encoders_picture(picture.uri, picture.sha256, limits=Limits(), side=32)
        for picture in pictures
    ]
    return [round((float(np.asarray(frame).mean()) - 20) / 5) for frame in frames]


def test_a_video_becomes_frames_that_the_encoder_reads(feed: Path) -> None:
    taken, refused = read(feed, "rec.mp4")

    assert not refused
    assert taken[0].uri == f"{feed.resolve()}/rec.mp4#t=0.200"
    assert shown(taken) == [2, 7, 12, 17, 22, 27, 32, 37]
    assert len({picture.sha256 for picture in taken}) == 8


def test_adjacent_slices_of_a_recording_have_frames_and_hashes_of_their_own(feed: Path) -> None:
    first, _ = read(feed, "rec.mp4#t=0,2")
    second, _ = read(feed, "rec.mp4#t=2")

    assert max(shown(first)) < 20 <= min(shown(second))
    assert not {p.sha256 for p in first} & {p.sha256 for p in second}


def test_a_rerun_gives_the_same(feed: Path) -> None:
    assert read(feed, "rec.mp4#t=1,3") == read(feed, "rec.mp4#t=1,3")


def test_videos_share_the_room_that_pictures_leave(feed: Path) -> None:
    taken, refused = read(feed, "cover#t=1.jpg", "rec.mp4#t=0,2", "rec.mp4#t=2", max_images=6)

    names = [Path(picture.uri).name.partition("#t=")[0] for picture in taken]
    assert names == ["cover", "rec.mp4", "rec.mp4", "rec.mp4", "rec.mp4"]
    assert not refused


def test_a_picture_with_a_fragment_in_its_name_is_a_picture(feed: Path) -> None:
    taken, _ = read(feed, "cover#t=1.jpg")

    file = feed.resolve() / "cover#t=1.jpg"
    assert taken == [Picture(str(file), sha256(file.read_bytes()).hexdigest())]


@pytest.mark.parametrize(
    ("path", "reason", "detail"),
    [
        ("cut.mp4", "image_corrupt", "is broken or cut off"),
        ("page.webm", "image_corrupt", "is neither MP4, QuickTime, WebM nor Matroska"),
        ("none.mp4", "image_missing", "no such file"),
        ("../rec.mp4", "image_outside_feed", "media_roots of source 'clips'"),
        ("rec.mp4#t=9", "image_corrupt", "has no frame between 9.000 s and its end"),
        ("https://shop.example/rec.mp4#t=1,2", "image_not_fetched", "videos are not fetched"),
    ],
)
def test_a_video_without_frames_is_refused_in_words(
    feed: Path, path: str, reason: str, detail: str
) -> None:
    taken, (refused,) = read(feed, path)

    assert not taken
    assert refused.reason == reason
    assert detail in refused.detail


@pytest.mark.parametrize("limit", ["max_video_bytes", "max_image_pixels"])
def test_a_video_over_a_limit_is_refused(feed: Path, limit: str) -> None:
    _, (refused,) = read(feed, "rec.mp4", **{limit: 1000})

    assert refused.reason == "image_too_large"
