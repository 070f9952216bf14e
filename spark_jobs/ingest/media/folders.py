"""Folders below which a feed's media may lie: its own, and the media roots of its source."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from encoders.machine_faults import raise_machine_fault


class UnusableMedia(ValueError):
    """A picture or video that is left out of its item.

    Attributes:
        reason: one of ``PICTURE_REASONS`` in ``row_checks.py``.
        detail: the problem in words, for a person.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class MediaFolders:
    """Where the media of a feed may lie.

    Attributes:
        source: name of the source, for messages; None where files are named by a person.
        folder: the feed's own, absolute.
        roots: further folders, absolute; ``media_roots`` of the source.
    """

    source: str | None
    folder: str
    roots: tuple[str, ...] = ()

    def file_of(self, path: str) -> str:
        """Return the file that a path of the feed names, links resolved.

        A relative path is tried below the feed's folder and then below each root; the first file
        that is there is taken. Links may lead from one of these folders into another, not out of
        all of them.

        Raises:
            UnusableMedia: the path leads out of all folders, or to no file.
            MachineFault: a folder cannot be looked at because of the machine.
        """
        if "\0" in path or not path.strip():
            raise UnusableMedia("image_missing", "the path is empty or contains a zero byte")
        candidates = list(dict.fromkeys(self._candidates(path)))
        inside = [file for file in candidates if self._contains(file)]
        for file in inside:
            if _exists(file):
                return file
        if not inside:
            raise UnusableMedia(
                "image_outside_feed",
                f"leads to {candidates[0]!r}, but should lie below {self._shown()}. Add its folder "
                f"to media_roots of source {self.source!r}, or move the file",
            )
        if self.source is None:
            raise UnusableMedia("image_missing", "No such file or directory")
        raise UnusableMedia(
            "image_missing",
            f"no such file below {self._shown()}. Deliver it, or add its folder to media_roots of "
            f"source {self.source!r}",
        )

    @property
    def _folders(self) -> tuple[str, ...]:
        return self.folder, *self.roots

    def _candidates(self, path: str) -> Iterator[str]:
        for folder in self._folders:
            yield os.path.realpath(os.path.join(folder, path))

    def _contains(self, file: str) -> bool:
        resolved = map(os.path.realpath, self._folders)
        return any(os.path.commonpath([folder, file]) == folder for folder in resolved)

    def _shown(self) -> str:
        roots = ", ".join(map(repr, self.roots)) or "none"
        return f"the feed's folder {self.folder!r} or a media root ({roots})"


def check_size(file: str, most: int) -> None:
    """Refuse what is no file, or too large.

    Raises:
        UnusableMedia: ``image_missing`` or ``image_too_large``.
        OSError: it cannot be looked at.
    """
    status = os.stat(file)
    # Reading a pipe or a device might never end.
    if not stat.S_ISREG(status.st_mode):
        raise UnusableMedia("image_missing", f"{file!r} is no file")
    if status.st_size > most:
        raise UnusableMedia("image_too_large", f"{status.st_size} bytes, at most {most}")


def _exists(file: str) -> bool:
    try:
        os.stat(file)
    except OSError as error:
        raise_machine_fault(error, file)
        return False
    return True
