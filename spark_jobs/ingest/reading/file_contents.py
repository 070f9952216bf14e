"""Contents of a feed's files, counted without Spark: bytes, lines and rows before any parsing."""

import csv
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

import pyarrow.parquet as pq

from spark_jobs.ingest.reading.csv_files import records
from spark_jobs.ingest.reading.text_files import (
    FILE_ERRORS,
    ONLY_SPARK,
    compression,
    opened_bytes,
    wide_problem,
)
from spark_jobs.ingest_config import WIDE_ENCODINGS, Source

_THREADS = 8
# A line of more bytes is none: Spark would read a file without line ends into memory whole.
LONGEST_LINE = 64 << 20
# A text packs to a tenth, the same row again and again to a hundredth; gzip's limit is a
# thousandth, of nothing but zeros.
_MOST_RATIO = 1000
_SMALL = 1 << 27
_BLANKS = b" \t\r\n"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class UnreadableFile(ValueError):
    """A file cannot be counted; the message names it, the place in it, and what to do."""


@dataclass(frozen=True)
class FileContent:
    """Content of a file.

    Attributes:
        packed: bytes on disk.
        unpacked: bytes before compression.
        lines: physical lines; None of Parquet, and of files that Spark alone can unpack, or whose
            characters have several bytes each.
        rows: rows, well-formed or not; None of such files.
    """

    packed: int
    unpacked: int
    lines: int | None = None
    rows: int | None = None


def file_contents(files: Sequence[str], source: Source, most_bytes: int) -> dict[str, FileContent]:
    """Return the content of each local file of a feed.

    Args:
        source: in a file format.
        most_bytes: limit of a file's bytes before compression; no more are unpacked.

    Raises:
        UnreadableFile: a line or value is too long, a file unpacks to too much, or is broken.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        counted = pool.map(lambda file: file_content(file, source, most_bytes), files)
        return dict(zip(files, counted, strict=True))


def file_content(file: str, source: Source, most_bytes: int) -> FileContent:
    """Return the content of one local file; see ``file_contents``."""
    try:
        if source.format == "parquet":
            return _parquet_content(file)
        packed = os.path.getsize(file)
        if compression(file) in ONLY_SPARK or source.encoding.startswith(WIDE_ENCODINGS):
            return FileContent(packed, packed)
        if wide := wide_problem(file, source.encoding):
            raise UnreadableFile(wide)
        with opened_bytes(file) as stream:
            likely = max(_SMALL, _MOST_RATIO * packed)
            is_json = source.format == "jsonl"
            lines = _Lines(file, stream, is_json, likely=likely, most=most_bytes)
            rows = _json_rows(lines) if is_json else _csv_rows(file, lines, source.delimiter)
        return FileContent(packed, lines.bytes, lines.number, rows)
    except FILE_ERRORS as error:
        raise UnreadableFile(f"{file}: {error}. Deliver it again.") from error


class _Lines:
    """Lines of a file with their ends (LF, CR or both), counted as they are read.

    Spark ends a line at each CR in a text; in CSV only where it ends the first line.
    """

    def __init__(
        self, file: str, stream: BinaryIO, each_cr: bool, *, likely: int, most: int
    ) -> None:
        self.number = 0
        self.bytes = 0
        self._file, self._stream, self._each_cr = file, stream, each_cr
        self._likely, self._most = likely, most

    def __iter__(self) -> Iterator[bytes]:
        for line in self._ended():
            self.number += 1
            yield line if self.number > 1 else line.removeprefix(_BYTE_ORDER_MARK)

    def _ended(self) -> Iterator[bytes]:
        rest = b""  # a line that has not ended, or whose CR may be followed by LF
        while read := self._stream.readline(LONGEST_LINE - len(rest)):
            self.bytes += len(read)
            if self.bytes > self._likely or self.bytes > self._most:
                raise self._too_much()
            if self.bytes == len(read):
                self._each_cr |= b"\r" in read.removesuffix(b"\n").removesuffix(b"\r")
            may_split = self._each_cr and b"\r" in read
            if not rest and not may_split and read.endswith(b"\n"):
                yield read
                continue
            lines = (rest + read).splitlines(keepends=True) if self._each_cr else [rest + read]
            rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
            yield from lines
            if len(rest) >= LONGEST_LINE:
                raise self._too_long(len(rest))
        if rest:
            yield rest

    def _too_long(self, length: int) -> UnreadableFile:
        return UnreadableFile(
            f"{self._file}: line {self.number + 1:,}, from byte {self.bytes - length:,} on, is "
            f"longer than {LONGEST_LINE >> 20} MiB. Write a row a line, and end each line."
        )

    def _too_much(self) -> UnreadableFile:
        limit = (
            f"is more than {self._most:,} bytes unpacked ([ingest] max_feed_bytes). Raise the "
            "limit if the feed is that large"
            if self.bytes > self._most
            else f"unpacks to more than {_MOST_RATIO:,} times its size, over {_SMALL >> 20} MiB"
        )
        return UnreadableFile(f"{self._file}: {limit}, or deliver the file again.")


def _json_rows(lines: _Lines) -> int:
    return sum(1 for line in lines if line.strip(_BLANKS))


def _csv_rows(file: str, lines: _Lines, delimiter: str) -> int:
    """Count the records after the header; empty lines are none."""
    rows, rest = 0, iter(lines)
    for line in rest:
        if b'"' not in line:
            rows += line not in (b"\n", b"\r\n", b"\r")
            continue
        begin = lines.number
        record = _Record(line, rest)
        try:
            rows += bool(next(records(record, delimiter), ()))
        except csv.Error as error:
            raise _open_quote(file, begin) from error
        if record.goes_on:
            raise _open_quote(file, begin)
    return max(rows - 1, 0)


class _Record:
    """Lines of a record, as many as Python's reader asks for.

    Attributes:
        goes_on: whether the reader asked for more lines than the file has.
    """

    def __init__(self, first: bytes, rest: Iterator[bytes]) -> None:
        self.goes_on = False
        self._lines = chain((first,), rest)

    def __iter__(self) -> Iterator[str]:
        yield from map(_csv_text, self._lines)
        self.goes_on = True


def _open_quote(file: str, line: int) -> UnreadableFile:
    return UnreadableFile(
        f"{file}: line {line:,}: a quote is opened and not closed. Close it, and write a quote in "
        'a value as "".'
    )


def _csv_text(line: bytes) -> str:
    """Return a line for Python's reader, which would end a row at each CR outside quotes."""
    inner = line.rstrip(b"\r\n").replace(b"\r", b" ")
    # Quotes and delimiters are single bytes, in UTF-8 as in Latin-1.
    return f"{inner.decode('latin-1')}\n"


def _parquet_content(file: str) -> FileContent:
    footer = pq.read_metadata(file)
    groups = (footer.row_group(number) for number in range(footer.num_row_groups))
    unpacked = sum(group.total_byte_size for group in groups)
    return FileContent(os.path.getsize(file), unpacked, rows=footer.num_rows)
