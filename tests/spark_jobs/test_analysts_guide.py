"""The analysts' guide: its code runs as it stands, with the same rows by every engine."""

import ast
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, closing
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from pyarrow.dataset import Dataset

from spark_jobs.contracts import SPUS
from spark_jobs.queries.read_only_sql import run_read_only
from spark_jobs.warehouse.tables import Tables

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "analysts.md"
FIRST, SECOND = date(2026, 1, 30), date(2026, 1, 31)

# By hand, from analysts_shop.json.
ANSWERS = {
    "1": [("s3", "Trail shoe", 60.0, 4), ("s1", "Runner", 45.0, 3)],
    "2": [("merged", "s4", "s2", 2), ("split", "s5", "s3", 1)],
    "3": [
        ("Kitchen", FIRST, 2, 2),
        ("Kitchen", SECOND, 2, 1),
        ("Shoes", FIRST, 3, 3),
        ("Shoes", SECOND, 3, 3),
        ("none", FIRST, 1, 0),
        ("none", SECOND, 1, 0),
    ],
    "4": [("s1", "Runner", 1, 2, 3, 3, 2), ("s5", "Trail sandal", 1, 4, 5, 1, 1)],
    "5": [("s3", "s5", 0.96), ("s1", "s3", 0.8), ("s1", "s5", 0.6)],
}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def sections() -> dict[str, str]:
    """The page's parts by the number of their question; what comes before the first under ''."""
    before, *parts = re.split(r"^## (?=\d+\. )", GUIDE.read_text(encoding="utf-8"), flags=re.M)
    return {"": before} | {part.split(".", 1)[0]: part for part in parts}


def run_cell(source: str, names: dict[str, object]) -> object:
    """Run a block as a notebook would: the value of its last expression, if it ends with one."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<guide>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<guide>", "eval"), names) if last else None


@pytest.fixture(scope="module")
def results(analysts_shop: Tables) -> Iterator[Mapping[tuple[str, str], tuple[list, list]]]:
    """Columns and rows by question and engine."""
    results: dict[tuple[str, str], tuple[list, list]] = {}
    names: dict[str, object] = {}
    with chdir(Path(analysts_shop.warehouse).parent):
        for number, text in sections().items():
            if not number:
                for block in blocks(text, "python"):
                    run_cell(block, names)
                continue
            (statement,), (duck, polars) = blocks(text, "sql"), blocks(text, "python")
            spark_rows = run_read_only(analysts_shop, statement)
            results[number, "spark"] = (
                spark_rows.columns,
                [tuple(row) for row in spark_rows.collect()],
            )
            duck_rows = run_cell(duck, names)
            results[number, "duckdb"] = (duck_rows.columns, duck_rows.fetchall())
            polars_rows = run_cell(polars, names)
            results[number, "polars"] = (polars_rows.columns, polars_rows.rows())
    yield results
    names["db"].close()


def read_by_arrow(dataset: Callable[[str], Dataset]) -> int:
    return dataset(SPUS.name).to_table().num_rows


def read_by_duckdb(dataset: Callable[[str], Dataset]) -> int:
    with closing(duckdb.connect()) as db:
        db.register("spus", dataset(SPUS.name))
        return len(db.sql("SELECT * FROM spus").fetchall())


def read_by_polars(dataset: Callable[[str], Dataset]) -> int:
    return pl.scan_pyarrow_dataset(dataset(SPUS.name)).collect().height


def flip_last_bit_of_first_column(file: Path) -> None:
    chunk = pq.ParquetFile(file).metadata.row_group(0).column(0)
    content = bytearray(file.read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size - 1] ^= 1
    file.write_bytes(content)


def test_the_guide_answers_five_questions() -> None:
    assert sections().keys() - {""} == ANSWERS.keys()


@pytest.mark.parametrize("engine", ["spark", "duckdb", "polars"])
@pytest.mark.parametrize("number", ANSWERS)
def test_every_engine_gives_the_answer_that_the_rows_hold(
    number: str, engine: str, results
) -> None:
    columns, rows = results[number, engine]

    assert columns == results[number, "spark"][0]
    assert rows == ANSWERS[number]


@pytest.mark.parametrize("read", [read_by_arrow, read_by_duckdb, read_by_polars])
def test_a_flipped_bit_is_an_error_for_each_reader_of_the_guide(
    read: Callable, analysts_shop: Tables, tmp_path: Path
) -> None:
    table = tmp_path / "warehouse" / SPUS.name
    shutil.copytree(analysts_shop.path(SPUS), table)
    names: dict = {}
    run_cell(blocks(sections()[""], "python")[0], names)
    with chdir(tmp_path):
        whole = read(names["dataset"])
        for file in table.rglob("part-*.parquet"):
            flip_last_bit_of_first_column(file)

        assert whole > 0
        with pytest.raises(Exception, match=r"(?i)CRC checksum verification failed"):
            read(names["dataset"])
