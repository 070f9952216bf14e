"""Downloads of pictures, kept in the warehouse by the SHA-256 of their bytes.

::

    <warehouse>/media/<2 hex>/<sha256>             a picture's bytes
    <warehouse>/media/urls/<2 hex>/<sha256>.json   by the SHA-256 of a URL: what it had when
"""

import json
import math
import time
from hashlib import sha256
from uuid import uuid4

import fsspec

from spark_jobs.ingest.media.fetching import Fetcher, Response, Unreachable
from spark_jobs.ingest.media.pictures import Picture, check_header
from spark_jobs.ingest_config import IngestConfig

_DAY = 24 * 3600
# What a server says of a version of a file, and the header that asks for a newer one.
_VALIDATORS = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}

Entry = dict[str, str]


class Downloads:
    """Pictures behind URLs. A URL whose picture is stored is asked for again after some days."""

    def __init__(self, folder: str, limits: IngestConfig) -> None:
        self._filesystem, self._root = fsspec.url_to_fs(folder)
        self._folder, self._limits, self._fetcher = folder, limits, Fetcher(limits)

    def picture(self, url: str) -> Picture:
        """Return a URL's picture, fetched unless it is stored; stored where its server is away.

        Raises:
            UnusableMedia: there is no such picture, or it may not or cannot be fetched.
            MachineFault: the machine is why.
        """
        place = f"urls/{_placed(url)}.json"
        entry = self._entry(place)
        if entry and time.time() - float(entry["checked"]) < self._limits.fetch_again_days * _DAY:
            return self._stored(entry)
        headers = {_VALIDATORS[name]: entry[name] for name in _VALIDATORS if name in entry}
        try:
            response = self._fetcher.get(url, headers)
        except Unreachable:
            if not entry:
                raise
            return self._stored(entry)
        return self._kept(place, entry, response)

    def _entry(self, place: str) -> Entry:
        if not self._filesystem.exists(f"{self._root}/{place}"):
            return {}
        entry: Entry = json.loads(self._filesystem.cat_file(f"{self._root}/{place}"))
        return entry if self._filesystem.exists(f"{self._root}/{entry['picture']}") else {}

    def _stored(self, entry: Entry) -> Picture:
        content = self._filesystem.cat_file(f"{self._root}/{entry['picture']}")
        uri = f"{self._folder}/{entry['picture']}"
        check_header(content, uri, self._limits.max_image_pixels)
        return Picture(uri, sha256(content).hexdigest())

    def _kept(self, place: str, entry: Entry, response: Response) -> Picture:
        """Store what was fetched; the picture first, so that no entry is without one."""
        if response.status == 200:
            check_header(response.content, "picture", self._limits.max_image_pixels)
            picture = _placed(response.content)
            if not self._filesystem.exists(f"{self._root}/{picture}"):
                self._write(picture, response.content)
            validators = {n: response.headers[n] for n in _VALIDATORS if n in response.headers}
            entry = {"picture": picture, **validators}
        checked = entry | {"checked": str(math.floor(time.time()))}
        self._write(place, json.dumps(checked).encode())
        return self._stored(checked)

    def _write(self, place: str, content: bytes) -> None:
        """Write a file whole or not at all."""
        path = f"{self._root}/{place}"
        self._filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
        partial = f"{path}.{uuid4().hex}"
        self._filesystem.pipe_file(partial, content)
        self._filesystem.mv(partial, path)


def _placed(named: str | bytes) -> str:
    digest = sha256(named.encode() if isinstance(named, str) else named).hexdigest()
    return f"{digest[:2]}/{digest}"
