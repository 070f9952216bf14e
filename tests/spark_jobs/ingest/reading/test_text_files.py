import bz2
import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from spark_jobs.ingest.reading.text_files import opened_text
from spark_jobs.warehouse.tables import Tables

TEXT = "a\r\nb é\rc"
PACKED = "\ufeffa\r\nb é\rc".encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.jsonl", PACKED),
        ("one.jsonl.gz", gzip.compress(PACKED)),
        ("members.GZ", gzip.compress(PACKED[:6]) + gzip.compress(PACKED[6:])),
        ("one.gzip", gzip.compress(PACKED)),
        ("one.bz2", bz2.compress(PACKED)),
        ("one.zst", pa.Codec("zstd").compress(PACKED, asbytes=True)),
    ],
)
def test_a_file_is_unpacked_as_spark_unpacks_it(
    tables: Tables, tmp_path: Path, name: str, content: bytes
) -> None:
    file = tmp_path / name
    file.write_bytes(content)

    with opened_text(str(file)) as text:
        assert text.read() == TEXT

    lines = [row["value"] for row in tables.spark.read.text(str(file)).collect()]
    assert lines == ["a", "b é", "c"]


def test_bytes_that_are_not_utf8_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes("é".encode("latin-1"))

    with opened_text(str(tmp_path / "latin.csv")) as text:
        assert text.read() == "\ufffd"
