"""Results as tables, CSV and JSON."""

import csv
import io
import json

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import types as T
from rich.console import Console

from spark_jobs.commands.output import display_text, print_result, print_rows
from spark_jobs.queries.read_only_sql import QueryFailed

ROWS = """
    SELECT 'it''s, "x"' AS title, CAST(NULL AS STRING) AS brand, 1.5D AS price, true AS active,
           array(0.25F, -0.5F, 0.75F) AS embedding, map('a', 'b') AS attributes,
           array(named_struct('uri', '/p.jpg')) AS images,
           TIMESTAMP'2026-01-31 00:00:00' AS event_timestamp, DATE'2026-01-30' AS ds
    UNION ALL SELECT 'b', 'B', 2D, false, NULL, NULL, NULL, NULL, NULL
"""


@pytest.fixture
def rows(spark: SparkSession) -> DataFrame:
    return spark.sql(ROWS)


def printed(schema: T.StructType, rows: list[Row], width: int) -> str:
    screen = io.StringIO()
    print_rows(Console(file=screen, width=width), schema, rows)
    return screen.getvalue()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([0.123, -0.034, 0.5, 0.1], "[0.12, -0.03, … 4]"),
        ([0.5, 0.25], "[0.5, 0.25]"),
        (["a", None], "[a, NULL]"),
        ({"a": 1}, "{a: 1}"),
        ([Row(uri="/p.jpg", sha256="ab")], "[{uri: /p.jpg, sha256: ab}]"),
        (1234.5678, "1234.57"),
        (True, "true"),
        (None, "NULL"),
        ("red\x1b[31m\nshoe", "red [31m shoe"),
        ({"red\x1b[31m": "shoe"}, "{red [31m: shoe}"),
        ("[bold]x[/]", "[bold]x[/]"),
    ],
)
def test_values_are_short_and_harmless_on_a_terminal(value: object, expected: str) -> None:
    assert display_text(value) == expected


IDS = T.StructType(
    [T.StructField("spu_id", T.StringType()), T.StructField("title", T.StringType())]
)


def test_ids_stay_whole_and_long_texts_are_folded() -> None:
    lines = printed(IDS, [Row("spu_0123456789abcdef", "many words " * 9)], 60).splitlines()

    assert lines[1].startswith("spu_0123456789abcdef  many words")
    assert max(map(len, lines)) <= 60
    assert len(lines) > 2


def test_rows_wider_than_the_terminal_are_printed_one_below_another() -> None:
    text = printed(IDS, [Row("spu_0123456789abcdef", "a"), Row("b", None)], 24)

    assert "row 1" in text
    assert "row 2" in text
    assert "NULL" in text


def test_a_result_without_rows_still_names_its_columns() -> None:
    assert printed(IDS, [], 80).split() == ["spu_id", "title"]


def test_csv_is_every_row_with_nested_values_as_json(
    rows: DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    print_result(rows, "csv", None)

    out = capsys.readouterr()
    header, first, second = csv.reader(io.StringIO(out.out))
    assert header == rows.columns
    assert first[:4] == ['it\'s, "x"', "", "1.5", "true"]
    assert json.loads(first[4]) == [0.25, -0.5, 0.75]
    assert first[5:] == [
        '{"a":"b"}',
        '[{"uri":"/p.jpg"}]',
        "2026-01-31 00:00:00",
        "2026-01-30",
    ]
    assert second == ["b", "B", "2.0", "false", "", "", "", "", ""]
    assert out.err == ""


def test_json_is_an_array_of_objects_nulls_kept(
    rows: DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    print_result(rows, "json", None)

    first, second = json.loads(capsys.readouterr().out)
    assert first["embedding"] == [0.25, -0.5, 0.75]
    assert first["brand"] is None
    assert first["event_timestamp"] == "2026-01-31T00:00:00.000Z"
    assert list(second) == rows.columns


def test_json_of_no_rows_is_an_empty_array(
    rows: DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    print_result(rows.limit(0), "json", None)

    assert json.loads(capsys.readouterr().out) == []


def test_json_refuses_two_columns_of_one_name(spark: SparkSession) -> None:
    with pytest.raises(QueryFailed, match=r"'a'.*AS"):
        print_result(spark.sql("SELECT 1 AS a, 2 AS a"), "json", None)


def test_csv_and_tables_take_two_columns_of_one_name(
    spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    print_result(spark.sql("SELECT 1 AS a, 2 AS a, 3 AS `b.c`"), "csv", None)

    assert capsys.readouterr().out == "a,a,b.c\n1,2,3\n"


def test_a_limit_holds_for_every_form(rows: DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    print_result(rows.select("title"), "csv", 1)
    print_result(rows.select("title"), "json", 1)
    print_result(rows.select("title"), "table", 1)

    out = capsys.readouterr()
    assert out.out.splitlines().count("b") == 0
    assert '{"title":"b"}' not in out.out
    assert "there are more" in out.err
