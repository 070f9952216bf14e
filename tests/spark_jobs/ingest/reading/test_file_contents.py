"""Lines and rows of a file, counted by Python alone, and held against those that Spark reads."""

import bz2
import csv
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from spark_jobs.ingest.reading import csv_files
from spark_jobs.ingest.reading import file_contents as module
from spark_jobs.ingest.reading.file_contents import UnreadableFile, file_content, file_contents
from spark_jobs.ingest_config import Source

MOST = 1 << 40
# One folder serves all examples, on a machine that may be busy.
ANY_TIME = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
HEADER = b"domain,item_id,title\n"


def content(folder: Path, written: bytes, name: str, most: int = MOST) -> module.FileContent:
    file = folder / name
    file.write_bytes(written)
    return file_content(str(file), of_format(name.split(".")[1]), most)


@pytest.mark.parametrize(
    ("written", "lines", "rows"),
    [
        (b"", 0, 0),
        (b"{}\n{}\n", 2, 2),
        (b"{}\n{}", 2, 2),
        (b"{}\r\n{}\r\n", 2, 2),
        (b"{}\r{}\r", 2, 2),
        (b"{}\r\r\n{}", 3, 2),
        (b"{}\n \n\t\n\r\n{}\n", 5, 2),
        (b"\xef\xbb\xbf", 1, 0),
        (b"\xef\xbb\xbf{}\n", 1, 1),
        (b"\0\0\n", 1, 1),
        ('{"a": "\u2028\u0085\x0b\x0c"}\n'.encode(), 1, 1),
        ("\u2028\n".encode(), 1, 1),
        (b"\xff\n", 1, 1),
    ],
)
def test_each_line_that_is_not_blank_is_a_row_of_json_lines(
    tmp_path: Path, written: bytes, lines: int, rows: int
) -> None:
    found = content(tmp_path, written, "f.jsonl")

    assert (found.packed, found.lines, found.rows) == (len(written), lines, rows)


@pytest.mark.parametrize(
    ("written", "lines", "rows"),
    [
        (b"", 0, 0),
        (HEADER, 1, 0),
        (b"\n" + HEADER + b"page,a,T\n\n", 4, 1),
        (HEADER + b'page,a,"x\n\ny"\npage,b,5" pipe\n', 5, 2),
        (HEADER + b'page,a,"x\r\ny ""z"""\r\n', 3, 1),
        (HEADER + b" \n,,\n", 3, 2),
        (HEADER + b"page,a,T\rU\n", 2, 1),
        (HEADER + b'page,a,"T\rU"\n', 2, 1),
        (HEADER.replace(b"\n", b"\r") + b"page,a,T\rpage,b,T", 3, 2),
    ],
)
def test_a_record_may_have_lines_in_quotes(
    tmp_path: Path, written: bytes, lines: int, rows: int
) -> None:
    found = content(tmp_path, written, "f.csv")

    assert (found.lines, found.rows) == (lines, rows)


@pytest.mark.parametrize("rest", [b'"x\npage,b,T\n', b'"x', b'"x""\n'])
def test_a_quote_that_the_file_does_not_close_is_refused(tmp_path: Path, rest: bytes) -> None:
    with pytest.raises(UnreadableFile, match=r"f\.csv: line 3: a quote is opened and not closed"):
        content(tmp_path, HEADER + b'page,z,"Z"\npage,a,' + rest, "f.csv")


@ANY_TIME
@given(st.lists(st.lists(st.text('ab ,"\n\ré'), min_size=2, max_size=3)))
def test_records_are_those_of_pythons_own_reader(tmp_path: Path, rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([["x", "y"], *rows])

    found = content(tmp_path, text.getvalue().encode(), "f.csv")

    assert found.rows == len(rows)


@ANY_TIME
@given(st.binary(), st.integers(2, 9))
def test_lines_are_the_same_however_far_the_file_is_read_at_a_time(
    tmp_path: Path, written: bytes, limit: int
) -> None:
    expected = written.splitlines()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LONGEST_LINE", max([limit, *(len(x) + 3 for x in expected)]))

        found = content(tmp_path, b"x\n" + written, "f.jsonl")

    assert found.lines == len((b"x\n" + written).splitlines())


def test_a_compressed_file_is_counted_unpacked(tmp_path: Path) -> None:
    packed = gzip.compress(b"{}\n") + gzip.compress(b"{}\n")

    found = content(tmp_path, packed, "f.jsonl.gz")

    assert (found.packed, found.unpacked, found.rows) == (len(packed), 6, 2)


def test_rows_of_parquet_are_those_of_its_footer(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": range(5)}), tmp_path / "f.parquet", row_group_size=2)

    found = file_contents([str(tmp_path / "f.parquet")], of_format("parquet"), MOST)

    assert [(c.rows, c.lines) for c in found.values()] == [(5, None)]


def test_a_file_that_only_spark_unpacks_is_not_counted(tmp_path: Path) -> None:
    assert content(tmp_path, b"packed\n", "f.jsonl.snappy").rows is None


@pytest.mark.parametrize("name", ["f.jsonl", "f.csv", "f.jsonl.gz"])
def test_a_line_without_end_is_refused_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(module, "LONGEST_LINE", 1 << 20)
    written = b"a\nb\n" + b"x" * (3 << 20)

    with pytest.raises(UnreadableFile, match=r"line 3, from byte 4 on, is longer than 1 MiB"):
        content(tmp_path, gzip.compress(written) if name.endswith("gz") else written, name)


def test_a_value_that_swallows_the_file_is_refused_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_files, "_MOST_FIELD_CHARACTERS", 1000)
    written = HEADER + b'page,a,"T\n' + b"page,b,T\n" * 1000

    with pytest.raises(UnreadableFile, match=r"line 2: a quote is opened"):
        content(tmp_path, written, "f.csv")


def test_a_file_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SMALL", 1 << 20)
    bomb = bz2.compress((b" " * 4095 + b"\n") * 5000)

    with pytest.raises(UnreadableFile, match=r"more than 1,000 times its size"):
        content(tmp_path, bomb, "f.jsonl.bz2")
    with pytest.raises(UnreadableFile, match=r"more than 9 bytes unpacked \(\[ingest\] max_feed_"):
        content(tmp_path, b"{}\n" * 4, "g.jsonl", most=9)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"f\.jsonl\.gz: .*Deliver it again"):
        content(tmp_path, gzip.compress(b"{}\n")[:-4], "f.jsonl.gz")


@pytest.mark.parametrize(
    ("encoding", "rows", "lines"), [("cp1252", 2, 4), ("utf-8", 2, 4), ("utf-16", None, None)]
)
def test_rows_of_csv_follow_the_delimiter_and_the_encoding(
    encoding: str, rows: int | None, lines: int | None, tmp_path: Path
) -> None:
    (tmp_path / "f.csv").write_bytes('a;b\n1,"2;"ü\n"\nx;y\n'.encode(encoding))

    found = file_content(
        str(tmp_path / "f.csv"), of_format("csv", delimiter=";", encoding=encoding), MOST
    )

    assert (found.rows, found.lines) == (rows, lines)


def of_format(format_: str, **settings: str) -> Source:
    return TypeAdapter(Source).validate_python(
        {"name": "f", "kind": "items", "path": "unused", "format": format_, **settings}
    )
