"""Shape of a stranger's file: its format, encoding, delimiter and columns, with some of its texts.

Nothing of it is believed but its bytes: names of files lie.
"""

import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from charset_normalizer import from_bytes

from spark_jobs.ingest.reading.column_names import standard_name
from spark_jobs.ingest.reading.text_files import FILE_ERRORS, opened_bytes

_ROWS, _BYTES = 1_000, 4 << 20
_DELIMITERS = (",", ";", "\t", "|")
# A table has so large a share of rows of its header's width.
_LEAST_WHOLE = 0.6
_ENCODINGS = ["cp1252", "cp1250", "cp1251", "shift_jis", "gb18030", "big5", "euc_kr"]
_COMPRESSED: Mapping[bytes, tuple[str, str]] = {
    b"\x1f\x8b": ("gzip", ".gz"),
    b"BZh": ("bzip2", ".bz2"),
    b"\x28\xb5\x2f\xfd": ("Zstandard", ".zst"),
}
_ADVICE: Mapping[bytes, str] = {
    b"PK\x03\x04": "it is a ZIP archive or a spreadsheet: unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "it is a spreadsheet of Excel: save the sheet as CSV (UTF-8)",
    b"\xfd7zXZ": "Spark does not unpack xz: unpack it, or compress it by gzip or Zstandard",
    b"<": "it is XML or HTML: export it as CSV, JSON Lines or Parquet",
    b"[": "it is one JSON list: write an object a line, for instance with jq -c '.[]'",
}


class NoFeed(ValueError):
    """A file is none that can be read as a feed; the message says what it is, and what to do."""


@dataclass(frozen=True)
class FileShape:
    """What a file holds.

    Attributes:
        format: ``csv``, ``jsonl``, ``parquet`` or ``delta``.
        texts: column -> its texts in the first rows; None where a row has none.
    """

    path: str
    format: str
    texts: Mapping[str, Sequence[str | None]]
    encoding: str = "utf-8"
    delimiter: str = ","

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in their order."""
        return list(self.texts)


def file_shape(path: str) -> FileShape:
    """Look at the first rows of a file, or of the first file of a folder.

    Raises:
        NoFeed: it is absent, empty, or of no format that feeds have.
    """
    if not os.path.exists(path):
        raise NoFeed(f"{path!r} does not exist. Correct the path.")
    try:
        if os.path.isdir(os.path.join(path, "_delta_log")):
            return FileShape(path, "delta", _delta_texts(path))
        return _file_shape(path, _first_file(path))
    except FILE_ERRORS as error:
        raise NoFeed(f"{path!r} cannot be read: {error}. Deliver it again.") from error


def _file_shape(path: str, file: str) -> FileShape:
    with open(file, "rb") as opened:
        start = opened.read(16)
    if start.startswith(b"PAR1"):
        return FileShape(path, "parquet", _parquet_texts(file))
    for magic, (name, suffix) in _COMPRESSED.items():
        if start.startswith(magic) and not file.endswith(suffix):
            raise NoFeed(
                f"{file!r} is compressed by {name}: rename it so that it ends in {suffix}."
            )
    with opened_bytes(file) as stream:
        return _text_shape(path, file, stream.read(_BYTES))


def _text_shape(path: str, file: str, content: bytes) -> FileShape:
    plain = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not plain:
        raise NoFeed(f"{file!r} is empty. Deliver it again.")
    for magic, advice in _ADVICE.items():
        if plain.startswith(magic):
            raise NoFeed(f"{file!r} cannot be read as a feed: {advice}.")
    encoding, text = _decoded(content)
    if encoding.startswith("utf-16") and text.lstrip("\ufeff \r\n").startswith("{"):
        raise NoFeed(
            f"{file!r} is JSON Lines in UTF-16. Write it as UTF-8: iconv -f utf-16 -t utf-8."
        )
    if plain.startswith(b"{"):
        return FileShape(path, "jsonl", _json_texts(text), encoding)
    delimiter, rows = _table(text)
    if "\0" in text or len(rows) < 2 or len(rows[0]) < 2:
        raise NoFeed(
            f"{file!r} is no CSV with a header, no JSON Lines and no Parquet. Export it as one of "
            "them."
        )
    return FileShape(path, "csv", _csv_texts(rows), encoding, delimiter)


def _first_file(path: str) -> str:
    if os.path.isfile(path):
        return path
    names = sorted(str(file) for file in Path(path).rglob("*") if file.is_file())
    found = next((n for n in names if not os.path.basename(n).startswith((".", "_"))), None)
    if found is None:
        raise NoFeed(f"{path!r} is a folder without a file. Deliver the feed.")
    return found


def _decoded(content: bytes) -> tuple[str, str]:
    """Return a text and the encoding that its bytes are in; the last character may be cut."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16", content.decode("utf-16", errors="replace")
    try:
        return "utf-8", content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(content) == _BYTES and error.start > _BYTES - 4:
            return "utf-8", content[: error.start].decode("utf-8-sig")
    guess = from_bytes(content, cp_isolation=_ENCODINGS).best()
    # Of encodings in which the bytes are the same text, that of most systems.
    same = () if guess is None else guess.could_be_from_charset
    encoding = "cp1252" if guess is None or "cp1252" in same else guess.encoding
    return encoding, content.decode(encoding, errors="replace")


def _table(text: str) -> tuple[str, list[list[str]]]:
    """Return the delimiter by which most rows have their header's width, and these rows."""
    ranked = []
    for delimiter in _DELIMITERS:
        rows = list(islice(_records(text, delimiter), _ROWS + 1))
        width = len(rows[0]) if rows else 0
        whole = [row for row in rows if len(row) == width]
        ranked.append((len(whole) >= _LEAST_WHOLE * len(rows), width, delimiter, whole))
    _, _, delimiter, rows = max(ranked, key=lambda entry: entry[:2])
    return delimiter, rows


def _records(text: str, delimiter: str) -> Iterator[list[str]]:
    try:
        yield from (row for row in csv.reader(StringIO(text), delimiter=delimiter) if row)
    except csv.Error:  # a value of more characters than a sample has room for
        return


def _csv_texts(rows: Sequence[Sequence[str]]) -> dict[str, list[str | None]]:
    header, *values = rows
    return {name: [row[i] or None for row in values] for i, name in enumerate(header)}


def _json_texts(text: str) -> dict[str, list[str | None]]:
    rows = []
    for line in islice(text.splitlines(), _ROWS):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):  # the last line may be cut
            continue
        rows += [_with_paths(value)] if isinstance(value, dict) else []
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [_text(row.get(name)) for row in rows] for name in names}


def _with_paths(row: Mapping[str, object]) -> dict[str, object]:
    """Return an object with the keys of the objects in it as paths, such as ``offer.price``.

    An object of attributes is one value of the contract.
    """
    paths: dict[str, object] = {}
    for name, value in row.items():
        is_object = isinstance(value, dict) and standard_name(name) != "attributes"
        inner = value if isinstance(value, dict) and is_object else {}
        paths |= {f"{name}.{key}": part for key, part in inner.items()} or {name: value}
    return paths


def _parquet_texts(file: str) -> dict[str, list[str | None]]:
    batches = pq.ParquetFile(file).iter_batches(batch_size=_ROWS)
    return _table_texts(next(batches, None))


def _delta_texts(path: str) -> dict[str, list[str | None]]:
    files = sorted(file for file in Path(path).rglob("*.parquet") if file.is_file())
    return _parquet_texts(str(files[0])) if files else {}


def _table_texts(batch: pa.RecordBatch | None) -> dict[str, list[str | None]]:
    if batch is None:
        return {}
    return {
        name: [_text(value) for value in column.to_pylist()]
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    }


def _text(value: object) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, list | dict | bool):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
