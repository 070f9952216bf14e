"""Files of a feed: find those at its path that Spark would not read."""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import unquote, urlparse

from pyspark.sql import DataFrameReader, SparkSession

from spark_jobs.ingest.reading.text_files import NOT_SPARK, compression

# Files that writers and operating systems leave beside data; Spark skips them, rightly.
_MARKERS = re.compile(
    r"_SUCCESS|_(committed|started)_.+|_(common_)?metadata"  # of jobs that have written Parquet
    r"|\..+\.crc"  # checksums of Hadoop
    r"|\.DS_Store|\._.+|\.(git)?keep"
)
# A feed's pictures and videos are in its folder, beside or below the files that name them.
_MEDIA = re.compile(
    r".+\.(jpe?g|jfif|png|webp|gif|bmp|tiff?|avif|heic|mp4|m4v|mov|webm|mkv)", re.IGNORECASE
)
_MEDIA_BYTES = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8|RIFF....WEBP|....ftyp|\x1a\x45\xdf\xa3", re.DOTALL
)
# Spark's own option: paths are no patterns.
_NO_PATTERNS = {"__globPaths__": "false"}
# Hadoop's default looks for a checksum beside each file, under a name that may have no colon.
_NO_CHECKSUMS = {
    "fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
    "fs.file.impl.disable.cache": "true",
}
_NAMES_SHOWN = 10

_HIDDEN = (
    "Spark skips names that begin with '_' or '.', and copies that have not ended (._COPYING_): "
    "rename the files, or remove those that are not data"
)
_DEEPER = (
    "Spark does not read the folders below that of a feed: move the files up, make each folder a "
    "source of its own in [[sources]], or remove files that are not data"
)
_BESIDE = "Spark reads either partition folders (name=value) or files, not both: move the files"
_UNLISTED = (
    "Spark does not find the files by their names: rename them with ASCII letters, or call "
    "spark-submit with LC_ALL=C.UTF-8"
)
_PACKED = (
    "Spark does not unpack such files: write them plain, or compressed with gzip (.gz), bzip2 "
    "(.bz2) or zstandard (.zst)"
)


def feed_reader(spark: SparkSession, path: str, files: Sequence[str]) -> DataFrameReader:
    """Return a reader of a feed's files, for which no character in a local path is special."""
    if "://" in path:
        return spark.read
    reader = spark.read.options(**_NO_PATTERNS)
    has_colon = any(":" in _last(file) for file in files)
    return reader.options(**_NO_CHECKSUMS) if has_colon else reader


def plain_path(uri: str) -> str:
    """Return the path on disk of a local file's URI; of another URI, the URI without escapes."""
    return unquote(urlparse(uri).path if uri.startswith("file:") else uri)


def files_problem(
    spark: SparkSession, path: str, read: Sequence[str], apart: Sequence[str]
) -> str | None:
    """Return which files at a feed's path Spark would not read, and what to do; None for none.

    Args:
        path: of a feed in files: a folder or one file.
        read: ``files_read`` at the path.
        apart: paths of other feeds; files below them do not belong to this one.
    """
    own = f"{_on_disk(path)}/"
    others = [other for other in map(_on_disk, apart) if other.startswith(own)]
    missed = {
        _name_in(own, file): _cause(_name_in(own, file), read)
        for file in sorted(_listed(spark, path) - set(read))
        if not _is_under(file, others) and _may_be_data(file)
    }
    missed |= {_name_in(own, file): _PACKED for file in read if compression(file) in NOT_SPARK}
    return _described(missed) if missed else None


def _described(missed: Mapping[str, str]) -> str:
    shown = [repr(name) for name in list(missed)[:_NAMES_SHOWN]]
    more = len(missed) - len(shown)
    listed = ", ".join(shown) + (f" and {more} more" if more else "")
    causes = "; ".join(dict.fromkeys(missed.values()))
    files = "1 file is" if len(missed) == 1 else f"{len(missed)} files are"
    return f"{files} not read: {listed}. {causes}."


def files_read(spark: SparkSession, path: str) -> list[str]:
    """Return the files that Spark reads, sorted; it lists them alike for every file format."""
    listed = {plain_path(uri) for uri in feed_reader(spark, path, [path]).text(path).inputFiles()}
    # Beside partition folders Spark lists files, but does not read them.
    below = {file for file in listed if os.path.dirname(file) != _on_disk(path)}
    return sorted({file for file in below if "=" in _last(os.path.dirname(file))} or listed)


def remote_bytes(spark: SparkSession, path: str, read: Sequence[str]) -> int:
    """Return the bytes of the files that Spark reads at a URL."""
    names = set(read)
    return sum(size for file, size in _remote_files(spark, path) if file in names)


def _listed(spark: SparkSession, path: str) -> set[str]:
    if "://" in path:
        return {file for file, _ in _remote_files(spark, path)}
    return set(_local_files(path))


def _local_files(path: str) -> Iterator[str]:
    if os.path.isfile(path):
        yield path
    for folder, _, names in os.walk(path, followlinks=True):
        yield from (os.path.join(folder, name) for name in names)


def _remote_files(spark: SparkSession, path: str) -> Iterator[tuple[str, int]]:
    """Yield the files that Hadoop lists, with Spark's credentials, and their bytes.

    Empty files are left out.
    """
    pattern = cast(Any, spark._jvm).org.apache.hadoop.fs.Path(path)
    system = pattern.getFileSystem(cast(Any, spark._jsc).hadoopConfiguration())
    for root in system.globStatus(pattern) or ():
        files = system.listFiles(root.getPath(), True)
        while files.hasNext():
            file = files.next()
            if file.getLen():
                yield plain_path(str(file.getPath().toUri().toString())), int(file.getLen())


def _on_disk(path: str) -> str:
    return path.removeprefix("file://").rstrip("/")


def _is_under(name: str, paths: Sequence[str]) -> bool:
    return any(name == path or name.startswith(f"{path}/") for path in paths)


def _may_be_data(name: str) -> bool:
    last = _last(name)
    if _MARKERS.fullmatch(last) or _MEDIA.fullmatch(last):
        return False
    if "://" in name:
        return True
    try:
        with open(name, "rb") as file:
            start = file.read(16)
    except OSError:  # a broken link, or no permission: the file was delivered and is not read
        return True
    return bool(start) and not _MEDIA_BYTES.match(start)


def _cause(name: str, read: Collection[str]) -> str:
    parts = name.split("/")
    if any(part.startswith(("_", ".")) or part.endswith("._COPYING_") for part in parts):
        return _HIDDEN
    if len(parts) > 1:
        return _DEEPER
    return _BESIDE if read else _UNLISTED


def _last(file: str) -> str:
    return os.path.basename(file)


def _name_in(folder: str, file: str) -> str:
    return file.removeprefix(folder) if file.startswith(folder) else _last(file)
