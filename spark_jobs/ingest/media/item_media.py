"""Media of an item: its files, URLs and videos as pictures that can be used, others refused."""

from collections.abc import Sequence
from dataclasses import dataclass

from encoders.machine_faults import raise_machine_fault
from encoders.video_frames import clip_of
from spark_jobs.ingest.media.downloads import Downloads
from spark_jobs.ingest.media.fetching import NOT_FETCHED, shown_url
from spark_jobs.ingest.media.folders import MediaFolders, UnusableMedia
from spark_jobs.ingest.media.pictures import Picture, RefusedPicture, read_picture
from spark_jobs.ingest.media.videos import read_frames
from spark_jobs.ingest_config import IngestConfig


@dataclass(frozen=True)
class MediaReader:
    """Reads the media of items.

    Attributes:
        downloads: None where nothing is fetched.
    """

    limits: IngestConfig
    downloads: Downloads | None = None

    def read(
        self, folders: MediaFolders, paths: Sequence[str | None]
    ) -> tuple[list[Picture], list[RefusedPicture]]:
        """Read an item's media, in order; paths over ``max_images`` are refused unread.

        A video becomes several pictures, its frames: as many as the item's other paths leave room
        for, and at least one.

        Args:
            paths: as the source wrote them.

        Raises:
            MachineFault: one cannot be read because of the machine.
        """
        named, surplus = paths[: self.limits.max_images], paths[self.limits.max_images :]
        videos = sum(1 for path in named if clip_of(path or ""))
        room = self.limits.max_images - (len(named) - videos)
        taken: list[Picture] = []
        refused: list[RefusedPicture] = []
        for path in named:
            try:
                taken += self._pictures(folders, path or "", room // (videos or 1))
            except UnusableMedia as error:
                refused.append(RefusedPicture(_shown(path), error.reason, error.detail))
        detail = f"an item has at most {self.limits.max_images}"
        refused += [RefusedPicture(_shown(path), "image_surplus", detail) for path in surplus]
        return taken, refused

    def _pictures(self, folders: MediaFolders, path: str, frames: int) -> list[Picture]:
        clip = clip_of(path)
        try:
            if "://" in path:
                return [self._fetched(path)]
            if clip is not None:
                return read_frames(folders, clip, frames, self.limits)
            return [read_picture(folders.file_of(path), self.limits)]
        except (OSError, MemoryError) as error:
            raise_machine_fault(error, _shown(path))
            detail = getattr(error, "strerror", None) or "cannot be read"
            raise UnusableMedia("image_missing", detail) from error

    def _fetched(self, url: str) -> Picture:
        if clip_of(url):
            raise UnusableMedia(NOT_FETCHED, "videos are not fetched. Deliver the file")
        if self.downloads is None:
            detail = "is a URL. Set [ingest] fetch_pictures = true to fetch it, or deliver a file"
            raise UnusableMedia(NOT_FETCHED, detail)
        return self.downloads.picture(url)


def _shown(path: str | None) -> str:
    return shown_url(path) if path and "://" in path else path or ""
