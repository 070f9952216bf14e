"""Text files of a feed, unpacked as Spark unpacks them: by the end of their names."""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, TextIO, cast

import fsspec
import pyarrow as pa

from spark_jobs.ingest_config import WIDE_ENCODINGS

# Each takes a path or an open file.
_OPENERS: Mapping[str, Callable[..., object]] = {
    ".gz": gzip.open,
    ".gzip": gzip.open,
    ".bz2": bz2.open,
    ".zst": lambda file: io.BufferedReader(pa.input_stream(file, compression="zstd")),
}
# Compressions that Spark alone unpacks here, and ends of names that it takes for plain text.
ONLY_SPARK = (".deflate", ".lz4", ".snappy")
NOT_SPARK = (".7z", ".lzma", ".rar", ".tar", ".tgz", ".xz", ".zip")

_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

# Exceptions of looking into a file without Spark.
FILE_ERRORS = (
    OSError,
    EOFError,
    UnicodeDecodeError,
    csv.Error,
    zlib.error,
    lzma.LZMAError,
    pa.ArrowException,
)


def opened_bytes(file: str) -> BinaryIO:
    """Open a file for reading; its bytes are those before compression.

    Args:
        file: path on disk, or a URL that fsspec knows.
    """
    is_url = "://" in file
    packed = fsspec.open(file, "rb").open() if is_url else file
    opener = _OPENERS.get(compression(file))
    if opener is None:
        return cast(BinaryIO, packed) if is_url else open(file, "rb")
    return cast(BinaryIO, opener(packed))


def opened_text(file: str, encoding: str = "utf-8") -> TextIO:
    """Open a text file for reading: without its byte order mark, line ends as they are.

    Bytes that are not of the encoding are replaced.
    """
    codec = "utf-8-sig" if encoding == "utf-8" else encoding
    return io.TextIOWrapper(opened_bytes(file), encoding=codec, errors="replace", newline="")


def wide_problem(file: str, encoding: str) -> str | None:
    """Return what to do about a file whose characters have two bytes each; None about others.

    Args:
        encoding: that the file is declared to have.
    """
    if encoding.startswith(WIDE_ENCODINGS) or compression(file) in ONLY_SPARK:
        return None
    with opened_bytes(file) as stream:
        start = stream.read(2)
    # One of the two bytes of an ASCII character is 0.
    if not start.startswith(_WIDE_MARKS) and start.count(0) != 1:
        return None
    return (
        f"{file} is UTF-16. Write it as UTF-8. CSV files can also be a source of their own, with "
        'encoding = "utf-16".'
    )


def compression(file: str) -> str:
    """Return the end of a file's name, which may be that of a compression, in lower case."""
    return Path(file).suffix.lower()
