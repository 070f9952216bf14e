import errno
import hashlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoders.backbones.image import ImagePreprocessing
from encoders.cope.preprocessing import (
    BadPicture,
    Limits,
    decode_picture,
    in_frame,
    item_text,
    read_picture,
    scene_parts,
)
from encoders.machine_faults import MachineFault

LIMITS = Limits(max_pixels=10_000)


def _bytes(picture: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def _decoded(content: bytes) -> Image.Image:
    picture = decode_picture(content, "here", limits=LIMITS, side=32)
    assert isinstance(picture, Image.Image)
    return picture


def _refused(content: bytes) -> BadPicture:
    bad = decode_picture(content, "here", limits=LIMITS, side=32)
    assert isinstance(bad, BadPicture)
    return bad


@pytest.mark.parametrize(
    ("title", "text", "expected"),
    [
        (" Red\n phone ", "a  b", "Red phone. a b"),
        ("Red phone", None, "Red phone"),
        (None, "only text", "only text"),
        ("  ", "", None),
        (None, None, None),
        ("T", "x" * 500, "T. " + "x" * 200),
    ],
)
def test_item_text(title: str | None, text: str | None, expected: str | None) -> None:
    assert item_text(title, text, LIMITS) == expected


def test_transparent_parts_are_white() -> None:
    picture = Image.new("RGBA", (4, 4), (255, 0, 0, 0))

    assert (np.asarray(_decoded(_bytes(picture, "PNG"))) == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_grey_picture_of_16_bits_keeps_its_shades(kind: str) -> None:
    shades = np.linspace(0, 65_535, 64, dtype=np.uint16).reshape(8, 8)
    content = _bytes(Image.fromarray(shades), kind)

    scaled = np.asarray(_decoded(content))[..., 0]
    before = decode_picture(content, "here", limits=Limits(scaled_depth=0), side=32)

    np.testing.assert_allclose(scaled, shades / 257, atol=1)
    assert (np.asarray(before)[..., 0] == 255).mean() > 0.9


def _png_of_16_bits_a_colour(red: int, green: int, blue: int) -> bytes:
    """Return a PNG of 4 x 4 pixels, which Pillow reads and cannot write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    line = b"\0" + struct.pack(">HHH", red, green, blue) * 4
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(line * 4)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*parts) for parts in chunks)


def _animation() -> bytes:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    return _bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])


def _with_palette() -> bytes:
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([0, 0, 255, 255, 0, 0])
    return _bytes(picture, "PNG", transparency=0)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(_animation(), id="the first frame of an animation"),
        pytest.param(_bytes(Image.new("RGB", (1, 1), "red"), "PNG"), id="one pixel"),
        pytest.param(_bytes(Image.new("RGB", (64, 64), "red"), "AVIF"), id="AVIF"),
        pytest.param(_bytes(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), id="CMYK"),
        pytest.param(_with_palette(), id="a palette with a transparent colour"),
        pytest.param(_png_of_16_bits_a_colour(65_535, 0, 0), id="16 bits a colour"),
    ],
)
def test_a_red_picture_of_any_kind_is_red_to_the_model(content: bytes) -> None:
    preprocessing = ImagePreprocessing(8, 8, (0, 0, 0), (1, 1, 1))

    x_CHW = preprocessing(_decoded(content))

    means = x_CHW.mean(dim=(1, 2)).tolist()
    assert means == pytest.approx([255, 0, 0], abs=4)


def test_limits_of_an_earlier_version_are_those_it_was_made_with() -> None:
    earlier = {"max_images": 8, "max_pixels": 50_000_000, "max_text": 200, "max_tokens": 64}

    assert Limits.of_version(earlier) == Limits(max_unknown=100, scaled_depth=0, page_frame=100)
    assert Limits.of_version(Limits(max_unknown=7).as_json()) == Limits(max_unknown=7)


@pytest.mark.parametrize(("size", "shown"), [((100, 100), 100 * 100), ((300, 100), 140 * 100)])
def test_a_picture_in_a_frame_is_in_the_middle_of_a_white_square(
    size: tuple[int, int], shown: int
) -> None:
    framed = np.asarray(in_frame(Image.new("RGB", size), 140, side=100))

    dark = framed[..., 0] == 0
    assert framed.shape == (140, 140, 3)
    assert dark[20:120].sum() == shown
    assert dark.sum() == shown


def test_a_large_picture_is_framed_at_about_the_size_that_is_needed() -> None:
    framed = in_frame(Image.new("RGB", (8_192, 4_096)), 140, side=256)

    assert framed.size == (717, 717)


def test_a_picture_taken_sideways_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6

    content = _bytes(Image.new("RGB", (40, 20)), "JPEG", exif=exif)

    assert _decoded(content).size == (20, 40)


def test_a_large_jpeg_is_decoded_small() -> None:
    limits = Limits()
    content = _bytes(Image.new("RGB", (2048, 1024)), "JPEG")

    picture = decode_picture(content, "here", limits=limits, side=64)

    assert isinstance(picture, Image.Image)
    assert 128 <= min(picture.size) < 1024


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_truncated_and_scrambled_pictures_are_corrupt(kind: str) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (60, 60, 3), dtype=np.uint8)
    content = _bytes(Image.fromarray(pixels), kind)

    for broken in (content[: len(content) // 2], b"", b"not a picture", content[:20]):
        assert _refused(broken).reason == "image_corrupt"
        assert not _refused(broken).fatal


def test_a_picture_over_the_limit_is_not_decoded() -> None:
    bad = _refused(_bytes(Image.new("1", (500, 500)), "PNG"))

    assert bad.reason == "image_too_large"
    assert "500 x 500" in bad.detail


def test_a_decompression_bomb_is_refused_whatever_the_limit() -> None:
    content = bytearray(_bytes(Image.new("1", (8, 8)), "PNG"))
    content[16:24] = (60_000).to_bytes(4, "big") * 2

    bad = decode_picture(bytes(content), "bomb", limits=Limits(max_pixels=10**12), side=32)

    assert isinstance(bad, BadPicture)
    assert bad.reason in ("image_too_large", "image_corrupt")


def test_bytes_that_are_not_those_ingested_are_fatal(tmp_path: Path) -> None:
    file = tmp_path / "a picture.png"
    file.write_bytes(_bytes(Image.new("RGB", (8, 8)), "PNG"))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()

    assert isinstance(read_picture(str(file), digest, limits=LIMITS, side=32), Image.Image)
    assert isinstance(read_picture(f"file://{file}", digest, limits=LIMITS, side=32), Image.Image)
    changed = read_picture(str(file), "0" * 64, limits=LIMITS, side=32)
    assert isinstance(changed, BadPicture)
    assert (changed.reason, changed.fatal) == ("image_changed", True)


@pytest.mark.parametrize("uri", ["/no/such/file.png", "http://example.com/a.png", "a\0b"])
def test_pictures_that_cannot_be_had_are_missing(uri: str) -> None:
    bad = read_picture(uri, "0" * 64, limits=LIMITS, side=32)

    assert isinstance(bad, BadPicture)
    assert (bad.reason, bad.fatal) == ("image_missing", True)


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EMFILE, "Too many open files")])
def test_a_machine_without_memory_or_files_is_no_fault_of_the_picture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(_bytes(Image.new("RGB", (8, 8)), "PNG"))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()

    def fail(*_: object) -> Image.Image:
        raise error

    for name in ("encoders.cope.preprocessing._read", "PIL.ImageFile.ImageFile.load"):
        with monkeypatch.context() as patched:
            patched.setattr(name, fail)

            with pytest.raises(MachineFault, match=r"a\.png"):
                read_picture(str(file), digest, limits=LIMITS, side=32)

    assert isinstance(read_picture(str(file), digest, limits=LIMITS, side=32), Image.Image)


def test_parts_of_a_scene_overlap_and_leave_nothing_out() -> None:
    # Red says how far right a pixel is, green how far down.
    across, down = np.meshgrid(np.arange(240), np.arange(160))
    pixels = np.stack((across, down, np.zeros_like(across)), axis=2).astype(np.uint8)

    whole, *parts = scene_parts(Image.fromarray(pixels))

    np.testing.assert_array_equal(np.array(whole), pixels)
    assert [part.size for part in parts] == [(120, 80)] * 9
    starts = [part.getpixel((0, 0))[:2] for part in parts]
    assert starts == [(x, y) for y in (0, 40, 80) for x in (0, 60, 120)]


def test_a_small_picture_has_no_parts() -> None:
    small = Image.new("RGB", (500, 63))

    assert list(scene_parts(small)) == [small]
