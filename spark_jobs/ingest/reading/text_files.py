"""Text files of a feed, unpacked as Spark unpacks them: by the end of their names."""

import bz2
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


def compression(file: str) -> str:
    """Return the end of a file's name, which may be that of a compression, in lower case."""
    return Path(file).suffix.lower()
