from pathlib import Path

import pytest

from spark_jobs.night import Night
from spark_jobs.warehouse.layout import Layout

NIGHT = Night.parse("2026-01-31")


def test_staged_bytes_counts_the_files_of_every_table_of_the_night(tmp_path: Path) -> None:
    for table, night, size in (
        ("items", NIGHT, 10),
        ("spus", NIGHT, 5),
        ("items", "2026-02-01", 7),
    ):
        folder = tmp_path / "staged" / table / f"ds={night}"
        folder.mkdir(parents=True)
        (folder / "part.parquet").write_bytes(b"x" * size)

    assert Layout(str(tmp_path)).staged_bytes(NIGHT) == 15
    assert Layout("s3a://bucket/warehouse").staged_bytes(NIGHT) == 0


def test_a_relative_warehouse_has_an_absolute_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert Layout.of("warehouse/").root == str(tmp_path.resolve() / "warehouse")
    assert Layout.of("s3a://bucket/warehouse/").root == "s3a://bucket/warehouse"


def test_a_backfill_has_data_docs_of_its_own() -> None:
    layout = Layout("/shop")

    assert layout.night_data_docs(NIGHT) == "/shop/data_docs/2026-01-31"
    assert layout.night_data_docs(NIGHT, "r2") == "/shop/data_docs/backfill_r2/2026-01-31"
