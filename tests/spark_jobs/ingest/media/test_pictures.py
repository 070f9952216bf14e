import errno
import os
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image

from encoders.machine_faults import MachineFault
from spark_jobs.ingest.media.folders import MediaFolders
from spark_jobs.ingest.media.item_media import MediaReader
from spark_jobs.ingest.media.pictures import Picture, RefusedPicture
from spark_jobs.ingest_config import IngestConfig

LIMITS = IngestConfig(max_image_bytes=20_000, max_image_pixels=10_000, max_images=2)


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    folder = tmp_path / "feed"
    folder.mkdir()
    Image.new("RGB", (10, 10), "red").save(folder / "good.png")
    Image.new("RGB", (10, 10), "red").save(tmp_path / "outside.png")
    return folder


def read_pictures(
    feed: Path, paths: list[str | None]
) -> tuple[list[Picture], list[RefusedPicture]]:
    return MediaReader(LIMITS).read(MediaFolders("pages", str(feed)), paths)


def read_picture(feed: Path, path: str) -> Picture | RefusedPicture:
    taken, left_out = read_pictures(feed, [path])
    (outcome,) = [*taken, *left_out]
    return outcome


def refused(outcome: Picture | RefusedPicture) -> str:
    assert isinstance(outcome, RefusedPicture)
    return outcome.reason


def test_a_good_picture_has_its_absolute_path_and_the_hash_of_its_bytes(feed: Path) -> None:
    outcome = read_picture(feed, "good.png")

    expected = sha256((feed / "good.png").read_bytes()).hexdigest()
    assert outcome == Picture(os.path.realpath(feed / "good.png"), expected)


@pytest.mark.parametrize(
    "path",
    ["../outside.png", "{tmp}/outside.png", "/etc/passwd", "x/../../outside.png", "link.png"],
)
def test_a_path_out_of_the_feed_is_refused(feed: Path, path: str) -> None:
    (feed / "link.png").symlink_to(feed.parent / "outside.png")

    outcome = read_picture(feed, path.format(tmp=feed.parent))

    assert refused(outcome) == "image_outside_feed"


def test_a_folder_whose_name_starts_like_the_feeds_is_outside(feed: Path) -> None:
    (feed.parent / "feed2").mkdir()
    Image.new("RGB", (10, 10)).save(feed.parent / "feed2" / "a.png")

    assert refused(read_picture(feed, "../feed2/a.png")) == "image_outside_feed"


@pytest.mark.parametrize("path", ["none.png", "", "zero\0.png", ".", "good.png/x", "x" * 5000])
def test_a_missing_picture_is_refused(feed: Path, path: str) -> None:
    assert refused(read_picture(feed, path)) == "image_missing"


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EIO, "Input/output error")])
@pytest.mark.parametrize("name", ["builtins.open", "PIL.Image.open"])
def test_a_fault_of_the_machine_refuses_no_picture(
    feed: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, name: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(name, fail)
        with pytest.raises(MachineFault, match=r"good\.png"):
            read_picture(feed, "good.png")

    assert isinstance(read_picture(feed, "good.png"), Picture)


def test_a_pipe_is_refused_without_being_read(feed: Path) -> None:
    os.mkfifo(feed / "pipe.png")

    assert refused(read_picture(feed, "pipe.png")) == "image_missing"


@pytest.mark.parametrize(
    "content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\nbroken", b"%!PS-Adobe"]
)
def test_bytes_that_are_not_a_picture_are_refused(feed: Path, content: bytes) -> None:
    (feed / "bad.png").write_bytes(content)

    assert refused(read_picture(feed, "bad.png")) == "image_corrupt"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is HEIC"),
        (b"\xff\x0a\xfa\x1f", "is JPEG XL"),
        (b"II*\0\x08\0\0\0", "is TIFF"),
        (b"%PDF-1.7", "is PDF"),
        (b"\n<!DOCTYPE html><title>404", "is an HTML page"),
        (b'<?xml version="1.0"?>\n<svg/>', "is SVG"),
        (b"", "is empty"),
        (b"GARBAGE!!", "is of no known format, and begins with b'GARBAGE!'"),
    ],
)
def test_what_stands_in_place_of_a_picture_is_named(feed: Path, content: bytes, named: str) -> None:
    (feed / "shown.jpg").write_bytes(content)

    outcome = read_picture(feed, "shown.jpg")

    assert isinstance(outcome, RefusedPicture)
    assert outcome.detail.startswith(f"{named}; should be one of JPEG, PNG")


def test_an_avif_picture_can_be_used(feed: Path) -> None:
    Image.new("RGB", (10, 10), "red").save(feed / "small.avif")

    assert isinstance(read_picture(feed, "small.avif"), Picture)


def test_a_picture_with_too_many_bytes_or_pixels_is_refused(feed: Path) -> None:
    (feed / "heavy.png").write_bytes(b"0" * 20_001)
    Image.new("1", (101, 100)).save(feed / "wide.png")

    assert refused(read_picture(feed, "heavy.png")) == "image_too_large"
    assert refused(read_picture(feed, "wide.png")) == "image_too_large"


def test_a_decompression_bomb_is_refused_by_its_header(feed: Path) -> None:
    bomb = Image.new("1", (1, 1))
    bomb.save(feed / "bomb.png")
    content = bytearray((feed / "bomb.png").read_bytes())
    content[16:24] = (60_000).to_bytes(4, "big") * 2  # width and height of the header
    import zlib

    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    (feed / "bomb.png").write_bytes(bytes(content))

    assert refused(read_picture(feed, "bomb.png")) == "image_too_large"


def test_pictures_keep_their_order_and_those_past_the_limit_are_refused(feed: Path) -> None:
    Image.new("RGB", (10, 10), "blue").save(feed / "blue.png")

    taken, left_out = read_pictures(feed, ["good.png", "blue.png", "good.png"])

    assert [Path(picture.uri).name for picture in taken] == ["good.png", "blue.png"]
    assert [(picture.path, picture.reason) for picture in left_out] == [
        ("good.png", "image_surplus")
    ]


def test_a_missing_path_in_the_list_refuses_that_picture_alone(feed: Path) -> None:
    taken, left_out = read_pictures(feed, [None, "good.png"])

    assert len(taken) == 1
    assert [picture.reason for picture in left_out] == ["image_missing"]
