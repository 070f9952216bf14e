"""Videos of an item: frames evenly over each, or over the part that a media fragment names."""

from dataclasses import replace

from encoders.video_frames import (
    Clip,
    UnusableVideo,
    VideoTooLarge,
    frame_uris,
    sha256_of_frame,
)
from spark_jobs.ingest.media.folders import MediaFolders, UnusableMedia, check_size
from spark_jobs.ingest.media.pictures import Picture
from spark_jobs.ingest_config import IngestConfig


def read_frames(media: MediaFolders, clip: Clip, count: int, limits: IngestConfig) -> list[Picture]:
    """Choose frames of a clip, and decode the first of them.

    Args:
        clip: its file as the source wrote it.
        count: most frames to take.

    Returns:
        a picture each frame, in order; its URI is a media fragment, see ``video_frames.py``.

    Raises:
        UnusableMedia: no frame can be taken.
        OSError: the file cannot be read.
        MachineFault: it cannot be read because of the machine, not the video.
    """
    file = media.file_of(clip.file)
    check_size(file, limits.max_video_bytes)
    try:
        uris = frame_uris(replace(clip, file=file), count, limits.max_image_pixels)
    except VideoTooLarge as error:
        raise UnusableMedia("image_too_large", f"video {file!r}: {error}") from error
    except UnusableVideo as error:
        raise UnusableMedia("image_corrupt", f"video {file!r}: {error}") from error
    return [Picture(uri, sha256_of_frame(uri)) for uri in uris]
