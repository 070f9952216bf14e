"""Frames of tiny videos in which each frame has a colour of its own."""

import errno
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from encoders.cope.preprocessing import BadPicture, Limits, read_picture
from encoders.machine_faults import MachineFault
from encoders.video_frames import (
    Clip,
    UnusableVideo,
    VideoTooLarge,
    clip_of,
    frame_uris,
    is_frame,
    read_frame,
    sha256_of_frame,
)

PIXELS = 1_000_000
FRAMES, FPS = 40, 10


def grey(number: int) -> int:
    return 20 + 5 * number


def write(path: Path, codec: str = "libx264", *, first: int = 0, every: int = 10) -> Path:
    """Write 4 seconds, ten frames each, whose grey says which frame it is."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = every
        for number in range(FRAMES):
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 48), (grey(number),) * 3))
            frame.pts, frame.time_base = first + number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def numbers(uris: list[str]) -> list[int]:
    """Return which frames were decoded, by their grey."""
    means = [float(np.asarray(read_frame(uri, PIXELS)).mean()) for uri in uris]
    return [round((mean - 20) / 5) for mean in means]


def times(uris: list[str]) -> list[str]:
    return [uri.rpartition("#t=")[2] for uri in uris]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("name", "codec", "every"),
    [
        ("a.mp4", "libx264", 10),
        ("a.mp4", "libx264", 100),
        ("a.mov", "libx264", 10),
        ("a.mkv", "libx264", 10),
        ("a.webm", "libvpx", 10),
        ("a.WEBM", "libvpx-vp9", 10),
    ],
)
def test_frames_lie_evenly_over_a_video_of_any_format(
    tmp_path: Path, name: str, codec: str, every: int
) -> None:
    file = write(tmp_path / name.lower(), codec, every=every).rename(tmp_path / name)

    uris = frame_uris(Clip(str(file)), 8, PIXELS)

    assert numbers(uris) == [2, 7, 12, 17, 22, 27, 32, 37]
    assert times(uris)[:2] == ["0.200", "0.700"]


def test_a_recording_that_counts_from_its_broadcast_starts_at_zero(tmp_path: Path) -> None:
    file = write(tmp_path / "a.webm", "libvpx", first=36_000)

    uris = frame_uris(Clip(str(file), Fraction(1), Fraction(2)), 2, PIXELS)

    assert times(uris) == ["1.200", "1.700"]
    assert numbers(uris) == [12, 17]


def test_adjacent_slices_have_different_frames(video: Path) -> None:
    first = frame_uris(Clip(str(video), Fraction(0), Fraction(2)), 4, PIXELS)
    second = frame_uris(Clip(str(video), Fraction(2), None), 4, PIXELS)

    assert numbers(first) == [2, 7, 12, 17]
    assert numbers(second) == [22, 27, 32, 37]


def test_a_slice_starts_with_the_frame_that_is_shown_then(video: Path) -> None:
    within = Clip(str(video), Fraction("1.55"), Fraction("1.58"))

    assert numbers(frame_uris(within, 8, PIXELS)) == [15]


def test_a_video_of_fewer_frames_gives_each_once(video: Path) -> None:
    uris = frame_uris(Clip(str(video), Fraction(1), Fraction("1.3")), 8, PIXELS)

    assert numbers(uris) == [10, 11, 12]


def test_a_rerun_gives_the_same_names_hashes_and_pixels(video: Path) -> None:
    once, again = (frame_uris(Clip(str(video)), 8, PIXELS) for _ in range(2))

    assert once == again
    assert len({sha256_of_frame(uri) for uri in once}) == 8
    assert [read_frame(uri, PIXELS).tobytes() for uri in once] == [
        read_frame(uri, PIXELS).tobytes() for uri in again
    ]


def test_the_hash_of_a_frame_follows_the_videos_bytes(video: Path) -> None:
    uri = frame_uris(Clip(str(video)), 1, PIXELS)[0]
    before = sha256_of_frame(uri)

    video.write_bytes(video.read_bytes() + b"\0\0\0\x08free")

    assert sha256_of_frame(uri) != before


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("a.mp4", Clip("a.mp4")),
        ("x/A b.MKV#t=10,20.5", Clip("x/A b.MKV", Fraction(10), Fraction("20.5"))),
        ("a.mov#t=10", Clip("a.mov", Fraction(10))),
        ("a.webm#t=,20", Clip("a.webm", Fraction(0), Fraction(20))),
        ("a.mp4#t=npt:1,2", Clip("a.mp4", Fraction(1), Fraction(2))),
        ("a#t=1.mp4", Clip("a#t=1.mp4")),
        ("a.jpg", None),
        ("a#t=1.jpg", None),
        ("a.mp4#t=1.jpg", None),
        ("a.mp4#t=soon", None),
        ("amp4", None),
        ("", None),
    ],
)
def test_a_clip_is_a_videos_name_with_or_without_a_fragment(name: str, clip: Clip | None) -> None:
    assert clip_of(name) == clip


def test_a_picture_with_a_fragment_in_its_name_is_no_frame() -> None:
    assert not is_frame("/a#t=1.jpg")
    assert not is_frame("/a.mp4")
    assert is_frame("/a.mp4#t=1.500")


@pytest.mark.parametrize(("start", "end"), [(2, 1), (1, 1), (99, None)])
def test_a_slice_without_a_frame_is_refused(video: Path, start: int, end: int | None) -> None:
    clip = Clip(str(video), Fraction(start), None if end is None else Fraction(end))

    with pytest.raises(UnusableVideo, match=r"has no frame between .* its last one is at 3\.900"):
        frame_uris(clip, 8, PIXELS)


def sound(path: Path) -> bytes:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.float32), "fltp", "mono")
        frame.rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path.read_bytes()


def without_frames(path: Path) -> bytes:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return path.read_bytes()


FTYP = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2"
HOSTILE: dict[str, Callable[[Path], bytes]] = {
    "empty": lambda _: b"",
    "text": lambda _: b"#EXTM3U\nfile:///etc/passwd\n",
    "a picture": lambda _: b"\x89PNG\r\n\x1a\nmore",
    "cut off before its index": lambda path: write(path).read_bytes()[:900],
    "an index alone": lambda path: FTYP + write(path).read_bytes()[-900:],
    "sound": sound,
    "no frames": lambda path: without_frames(path.with_suffix(".webm")),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_file_without_a_frame_is_refused_in_words(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "b.mp4"
    file.write_bytes(HOSTILE[kind](tmp_path / "a.mp4"))

    with pytest.raises(UnusableVideo):
        frame_uris(Clip(str(file)), 8, PIXELS)


def test_a_webm_that_is_cut_off_gives_the_frames_that_are_there(tmp_path: Path) -> None:
    file = write(tmp_path / "a.webm", "libvpx")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])

    found = numbers(frame_uris(Clip(str(file)), 4, PIXELS))

    assert found == sorted(set(found))
    assert 0 < max(found) < FRAMES - 5


def test_frames_of_too_many_pixels_are_refused(video: Path) -> None:
    with pytest.raises(VideoTooLarge, match="64 x 48 pixels, at most 3000"):
        frame_uris(Clip(str(video)), 8, 3000)


@pytest.mark.parametrize("seed", range(60))
def test_damaged_bytes_raise_nothing_else(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    name, codec = [("a.mp4", "mpeg4"), ("a.webm", "libvpx")][seed % 2]
    content = bytearray(write(tmp_path / name, codec).read_bytes())
    for place in random.integers(0, len(content), 20):
        content[place] = random.integers(256)
    file = tmp_path / f"b{name}"
    file.write_bytes(content)

    try:
        for uri in frame_uris(Clip(str(file)), 3, PIXELS):
            read_frame(uri, PIXELS)
    except UnusableVideo:
        pass


def test_a_turned_recording_is_upright(video: Path) -> None:
    """A telephone held upright writes a wide picture, and a matrix that turns it clockwise."""
    straight = b"".join(v.to_bytes(4, "big") for v in (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30))
    turned = b"".join(
        v.to_bytes(4, "big") for v in (0, 1 << 16, 0, 0xFFFF0000, 0, 0, 48 << 16, 0, 1 << 30)
    )
    content = video.read_bytes()
    track = content.index(b"tkhd")
    video.write_bytes(content[:track] + content[track:].replace(straight, turned, 1))

    assert read_frame(f"{video}#t=1.000", PIXELS).size == (48, 64)


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EMFILE, "Too many open files")])
def test_a_fault_of_the_machine_refuses_no_video(
    video: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(av, "open", fail)

    with pytest.raises(MachineFault, match=r"a\.mp4"):
        frame_uris(Clip(str(video)), 8, PIXELS)


def test_cope_reads_a_frame_as_a_picture(video: Path) -> None:
    uri = frame_uris(Clip(str(video)), 1, PIXELS)[0]

    picture = read_picture(uri, sha256_of_frame(uri), limits=Limits(), side=32)

    assert isinstance(picture, Image.Image)
    assert (picture.mode, picture.size) == ("RGB", (64, 48))


def test_cope_refuses_frames_of_changed_missing_and_large_videos(video: Path) -> None:
    uri = frame_uris(Clip(str(video)), 1, PIXELS)[0]
    digest = sha256_of_frame(uri)

    def reason(uri: str, digest: str, **limits: int) -> tuple[str, bool]:
        bad = read_picture(uri, digest, limits=Limits(**limits), side=32)
        assert isinstance(bad, BadPicture)
        return bad.reason, bad.fatal

    assert reason(uri, "0" * 64) == ("image_changed", True)
    assert reason(f"{video.parent}/none.mp4#t=1.000", digest) == ("image_missing", True)
    assert reason(uri, digest, max_pixels=100) == ("image_too_large", False)
