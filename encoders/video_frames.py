"""Frames of videos: which ones to take, their names and hashes, and decoding one.

A frame is named ``<absolute path>#t=<seconds>``, a media fragment of the W3C. Seconds count from
the start of the video, and the frame is the one that is shown at that time. Files are untrusted: of
FFmpeg's readers only those of MP4 and Matroska are used, which open no other file.
"""

import hashlib
import math
import os
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import BinaryIO

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from encoders.machine_faults import raise_machine_fault

SUFFIXES = ("mp4", "webm", "mov", "mkv")
_NUMBER = r"\d+(?:\.\d+)?"
_VIDEO = rf".+\.(?:{'|'.join(SUFFIXES)})"
_NAME = re.compile(
    rf"(?P<file>{_VIDEO})(?:#t=(?:npt:)?(?P<start>{_NUMBER})?(?:,(?P<end>{_NUMBER}))?)?",
    re.IGNORECASE | re.DOTALL,
)
# Boxes that an MP4 or QuickTime file may begin with, after their length.
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_MATROSKA = b"\x1a\x45\xdf\xa3"
# 18 hours at 30 frames a second: their times take 16 MB.
MAX_FRAMES = 2_000_000
# Seconds before a time from which decoding starts, in turn: a seek may end behind the time.
_SEEK_BACK = (0, 10)
_CHUNK = 1 << 20


class UnusableVideo(ValueError):
    """A video of which no frame can be taken; the message says why."""


class VideoTooLarge(UnusableVideo):
    """A video whose frames have too many pixels, or that has too many frames."""


@dataclass(frozen=True)
class Clip:
    """A video, or a part of it.

    Attributes:
        start: seconds; the frame shown then is part of the clip.
        end: seconds; None is the end of the video.
    """

    file: str
    start: Fraction = Fraction(0)
    end: Fraction | None = None


def clip_of(name: str) -> Clip | None:
    """Return the clip that a path with or without a media fragment names; None if it is no video.

    A picture may have "#t=" in its name: only after a video's suffix does a fragment begin.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    end = None if found["end"] is None else Fraction(found["end"])
    return Clip(found["file"], Fraction(found["start"] or 0), end)


def is_frame(uri: str) -> bool:
    """Return whether a local URI names a frame of a video, and not a file."""
    return "#t=" in uri and "://" not in uri and clip_of(uri) is not None


def sha256_of_frame(uri: str) -> str:
    """Return the SHA-256 of a frame: of its video's bytes and its time, not of its pixels.

    Raises:
        OSError: the video cannot be read.
    """
    file, _, time = uri.rpartition("#t=")
    of_video = _sha256(file, *_state(file))
    return hashlib.sha256(f"{of_video}#t={time}".encode()).hexdigest()


def frame_uris(clip: Clip, count: int, max_pixels: int) -> list[str]:
    """Return the names of up to ``count`` frames, evenly over a clip; see this module.

    Raises:
        UnusableVideo: it has no frame there that can be decoded.
        OSError: the file cannot be opened.
    """
    every = _all_times(clip.file, max_pixels, *_state(clip.file))
    taken = every[_first_shown(every, clip.start) : _first_after(every, clip.end)]
    if not taken:
        raise UnusableVideo(
            f"has no frame {_span(clip)}; its last one is at {every[-1] / 1000:.3f} s. Correct "
            "the times after '#t='"
        )
    places = [(2 * place + 1) * len(taken) // (2 * count) for place in range(count)]
    uris = [f"{clip.file}#t={taken[place] / 1000:.3f}" for place in dict.fromkeys(places)]
    read_frame(uris[0], max_pixels)  # others may be broken, which the encoder will find
    return uris


def read_frame(uri: str, max_pixels: int) -> Image.Image:
    """Decode the frame that a URI names, upright.

    Raises:
        UnusableVideo: it cannot be decoded.
        OSError: the file cannot be opened.
    """
    clip = clip_of(uri)
    if clip is None:
        raise UnusableVideo(f"{uri!r} should name a video and a time, such as 'a.mp4#t=1.5'")
    frame = None
    for back in (*_SEEK_BACK, None):
        with _opened(clip.file, max_pixels) as (container, stream):
            frame = _shown_at(container, stream, clip.start, back)
        if frame is not None:
            break
    if frame is None:
        raise UnusableVideo(f"no frame can be decoded at {float(clip.start):.3f} s")
    image = Image.fromarray(frame.to_ndarray(format="rgb24"))
    # PyAV's angle is counter-clockwise, as Pillow's is.
    return image.rotate(frame.rotation, expand=True) if frame.rotation % 360 else image


def _shown_at(
    container: InputContainer, stream: VideoStream, time: Fraction, back: int | None
) -> VideoFrame | None:
    """Return the last frame at or before a time, or None; the first one where ``back`` is None."""
    origin = _origin(container)
    if back is not None:
        target = max(time - back, Fraction(0)) + origin
        try:
            container.seek(math.floor(target / _unit(stream)), stream=stream)
        except av.error.FFmpegError:  # it has no index
            return None
    shown = None
    for frame in container.decode(stream):
        if frame.pts is None:
            continue
        if frame.pts * _unit(stream) - origin > time:
            return shown or (frame if back is None else None)
        shown = frame
    return shown


@contextmanager
def _opened(file: str, max_pixels: int) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video's first picture track.

    Raises:
        UnusableVideo: also for whatever FFmpeg raises inside the block.
        MachineFault: for a fault of the machine inside the block.
    """
    with open(file, "rb") as content:
        try:
            # A file object: FFmpeg would read "concat:..." and "http:..." as protocols.
            format_ = _format(content)
            with av.open(content, "r", format=format_, metadata_errors="replace") as container:
                stream = _video_stream(container, max_pixels)
                yield container, stream
        except UnusableVideo:
            raise
        except Exception as error:  # FFmpeg raises whatever a format's parser happens to raise
            raise_machine_fault(error, file)
            message = getattr(error, "strerror", None) or type(error).__name__
            raise UnusableVideo(f"is broken or cut off: {message}") from error


def _video_stream(container: InputContainer, max_pixels: int) -> VideoStream:
    streams = [s for s in container.streams.video if Disposition.attached_pic not in s.disposition]
    if not streams:
        raise UnusableVideo("has no pictures, only sound or nothing")
    context = streams[0].codec_context
    if context is None or not context.width * context.height:
        raise UnusableVideo("its pictures are of a kind that cannot be decoded")
    if context.width * context.height > max_pixels:
        size = f"{context.width} x {context.height}"
        raise VideoTooLarge(f"frames of {size} pixels, at most {max_pixels}")
    # Sizes may change within a video.
    context.options = {"max_pixels": str(max_pixels)}
    context.thread_count = 1
    return streams[0]


def _format(content: BinaryIO) -> str:
    start = content.read(8)
    content.seek(0)
    if start.startswith(_MATROSKA):
        return "matroska"
    if start[4:8] in _MP4_BOXES:
        return "mov"
    raise UnusableVideo("is neither MP4, QuickTime, WebM nor Matroska, or it is cut off")


@lru_cache(maxsize=16)
def _all_times(file: str, max_pixels: int, *_: int) -> Sequence[int]:
    """Return when each frame of a video is shown, in order: milliseconds, rounded up.

    Kept, since the slices of a recording are items of their own.
    """
    times = array("q")
    with _opened(file, max_pixels) as (container, stream):
        origin = _origin(container)
        for packet in container.demux(stream):
            if packet.pts is None or packet.is_discard:
                continue
            times.append(math.ceil((packet.pts * _unit(stream) - origin) * 1000))
            if len(times) > MAX_FRAMES:
                raise VideoTooLarge(f"has more than {MAX_FRAMES:,} frames")
    shown = array("q", sorted({time for time in times if time >= 0}))
    if not shown:
        raise UnusableVideo("has no frames")
    return shown


def _first_shown(times: Sequence[int], start: Fraction) -> int:
    """Return the place of the frame that is shown at a time."""
    # After the last frame nothing is shown.
    is_over = times[-1] < start * 1000
    return len(times) if is_over else max(bisect_right(times, start * 1000) - 1, 0)


def _first_after(times: Sequence[int], end: Fraction | None) -> int:
    return len(times) if end is None else bisect_left(times, end * 1000)


def _origin(container: InputContainer) -> Fraction:
    """Return when a video starts: recordings may count from their broadcast's start."""
    return Fraction(container.start_time or 0, 1_000_000)


def _unit(stream: VideoStream) -> Fraction:
    return stream.time_base or Fraction(1, 1000)


def _span(clip: Clip) -> str:
    end = "its end" if clip.end is None else f"{float(clip.end):.3f} s"
    return f"between {float(clip.start):.3f} s and {end}"


def _state(file: str) -> tuple[int, ...]:
    found = os.stat(file)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@lru_cache(maxsize=4096)
def _sha256(file: str, *_: int) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
