"""Shapes of files that nobody here wrote: found by their bytes, or refused with advice."""

import gzip
import json
import lzma
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spark_jobs.ingest.sniffing.file_shape import NoFeed, file_shape

GERMAN = "Nr;Titel;Preis\n1;Kaffeemühle, groß;19,95 €\n2;Süßer Tee;1,00 €\n"


@pytest.mark.parametrize(
    ("encoding", "found"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("cp1252", "cp1252"), ("utf-16", "utf-16")],
)
def test_encoding_and_delimiter_are_found(encoding: str, found: str, tmp_path: Path) -> None:
    file = tmp_path / "export.csv"
    file.write_bytes(GERMAN.encode(encoding))

    shape = file_shape(str(file))

    assert (shape.format, shape.encoding, shape.delimiter) == ("csv", found, ";")
    assert shape.columns == ["Nr", "Titel", "Preis"]
    assert shape.texts["Titel"] == ["Kaffeemühle, groß", "Süßer Tee"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_quoted_line_break_or_delimiter_is_part_of_a_value(
    delimiter: str, tmp_path: Path
) -> None:
    file = tmp_path / "export.txt"
    row = delimiter.join(["1", f'"a{delimiter}b\nc ""d"""', "x"])
    file.write_text(f"{delimiter.join('abc')}\n{row}\n")

    shape = file_shape(str(file))

    assert (shape.delimiter, shape.texts["b"]) == (delimiter, [f'a{delimiter}b\nc "d"'])


def test_formats_are_found_by_their_bytes(tmp_path: Path) -> None:
    rows = [{"id": 1, "tags": ["x"], "offer": {"price": 2.5}}, {"id": 2, "new": None}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "a.csv").write_text(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    pq.write_table(pa.table({"id": [1], "tags": [["x"]]}), tmp_path / "c.data")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "_SUCCESS").touch()
    (tmp_path / "folder" / "part-0").write_text(GERMAN)

    shapes = [
        file_shape(str(tmp_path / name)) for name in ("a.csv", "b.jsonl.gz", "c.data", "folder")
    ]

    assert [shape.format for shape in shapes] == ["jsonl", "jsonl", "parquet", "csv"]
    assert shapes[0].texts == {
        "id": ["1", "2"],
        "tags": ['["x"]', None],
        "offer.price": ["2.5", None],
        "new": [None, None],
    }
    assert shapes[2].texts == {"id": ["1"], "tags": ['["x"]']}


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b'[{"a": 1}]', "JSON list: write an object a line"),
        (b'<?xml version="1.0"?><rss/>', "XML or HTML"),
        (b"PK\x03\x04rest", "spreadsheet"),
        (gzip.compress(b"a,b\n1,2\n"), "compressed by gzip: rename it"),
        (lzma.compress(b"a,b\n1,2\n"), "Spark does not unpack xz"),
        (b"just one line of prose, with a comma", "no CSV with a header"),
        ('{"id": "é"}\n'.encode("utf-16") * 9, "JSON Lines in UTF-16"),
        (b"\x00\x01\x02\x03" * 50, "no CSV with a header"),
    ],
)
def test_what_is_no_feed_is_named_with_a_way_out(
    content: bytes, advice: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(content)

    with pytest.raises(NoFeed, match=advice):
        file_shape(str(tmp_path / "file"))


@pytest.mark.parametrize("name", ["cut.csv.gz", "cut.parquet"])
def test_a_file_that_was_cut_short_is_named(name: str, tmp_path: Path) -> None:
    whole = gzip.compress(GERMAN.encode() * 100) if name.endswith("gz") else b"PAR1" + b"x" * 99
    (tmp_path / name).write_bytes(whole[:60])

    with pytest.raises(NoFeed, match=f"{name}' cannot be read.*Deliver it again"):
        file_shape(str(tmp_path / name))


def test_a_file_of_gigabytes_without_a_line_end_is_looked_at_in_its_beginning(
    tmp_path: Path,
) -> None:
    file = tmp_path / "huge.jsonl"
    with file.open("wb") as opened:
        opened.write(b'{"a": "')
        opened.truncate(20 << 30)  # a sparse file: zero bytes

    assert file_shape(str(file)).format == "jsonl"
