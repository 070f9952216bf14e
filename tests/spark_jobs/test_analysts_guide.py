"""The analysts' guide: its code runs as it stands, and Spark, DuckDB and Polars say the same."""

import ast
import re
from collections.abc import Iterator, Mapping
from contextlib import chdir
from datetime import date
from pathlib import Path

import pytest

from spark_jobs.queries import answer
from spark_jobs.tables import Tables

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
def told(analysts_shop: Tables) -> Iterator[Mapping[tuple[str, str], tuple[list, list]]]:
    """Columns and rows by question and engine."""
    answers: dict[tuple[str, str], tuple[list, list]] = {}
    names: dict[str, object] = {}
    with chdir(Path(analysts_shop.warehouse).parent):
        for number, text in sections().items():
            if not number:
                for block in blocks(text, "python"):
                    run_cell(block, names)
                continue
            (statement,), (duck, polars) = blocks(text, "sql"), blocks(text, "python")
            spark_rows = answer(analysts_shop, statement)
            answers[number, "spark"] = (
                spark_rows.columns,
                [tuple(row) for row in spark_rows.collect()],
            )
            duck_rows = run_cell(duck, names)
            answers[number, "duckdb"] = (duck_rows.columns, duck_rows.fetchall())
            polars_rows = run_cell(polars, names)
            answers[number, "polars"] = (polars_rows.columns, polars_rows.rows())
    yield answers
    names["db"].close()


def test_the_guide_answers_five_questions() -> None:
    assert sections().keys() - {""} == ANSWERS.keys()


@pytest.mark.parametrize("engine", ["spark", "duckdb", "polars"])
@pytest.mark.parametrize("number", ANSWERS)
def test_every_engine_gives_the_answer_that_the_rows_hold(number: str, engine: str, told) -> None:
    columns, rows = told[number, engine]

    assert columns == told[number, "spark"][0]
    assert rows == ANSWERS[number]
