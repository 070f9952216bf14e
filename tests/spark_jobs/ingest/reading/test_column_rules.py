"""Rules of [sources.columns]: what shops write, and what is read of it."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs.engine.local_frames import local_frame
from spark_jobs.ingest.reading.column_rules import (
    html_words,
    is_left_out,
    rule_text,
    value_by_rule,
)
from spark_jobs.ingest_config import ColumnRule


def read(
    spark: SparkSession, texts: Sequence[str | None], rule: ColumnRule, type_: str
) -> list[object]:
    frame = local_frame(spark, [(text,) for text in texts], "text string")
    if type_ == "timestamp":
        micros = F.unix_micros(value_by_rule(F.col("text"), rule, type_))
        found = [row[0] for row in frame.select(micros).collect()]
        return [None if at is None else datetime.fromtimestamp(at / 1e6, UTC) for at in found]
    return [row[0] for row in frame.select(value_by_rule(F.col("text"), rule, type_)).collect()]


COMMA = ColumnRule(column="Preis", decimal=",")
POINT = ColumnRule(column="price", decimal=".")
EURO = ColumnRule(column="Preis", decimal=",", currency="EUR")


@pytest.mark.parametrize(
    ("rule", "written", "price"),
    [
        (COMMA, "1.299,00 €", 1299.0),
        (COMMA, "€ 1.299.000,5", 1299000.5),
        (COMMA, "EUR\u00a01\u202f299,95", 1299.95),
        (COMMA, "19", 19.0),
        (COMMA, "1.299", 1299.0),
        (COMMA, "kr. 49,-", 49.0),
        (COMMA, "299,\u2013 zł", 299.0),
        (COMMA, "-5,00", -5.0),
        (COMMA, "12.99", None),  # a point before two digits is no thousands mark
        (COMMA, "1.29,00", None),
        (COMMA, "ab 19,99 €", None),
        (COMMA, "€", None),
        (COMMA, "", None),
        (COMMA, "n/a", None),
        (POINT, "$1,299.00", 1299.0),
        (POINT, "CHF 1'299.50", 1299.5),
        (POINT, "1 299.50", 1299.5),
        (POINT, ".99", 0.99),
        (POINT, "12,99", None),
        (POINT, "1.299,00", None),
        (EURO, "1.299,00 €", 1299.0),
        (EURO, "1.299,00", 1299.0),
        (EURO, "19,00 $", None),
        (EURO, "19,00 CHF", None),
    ],
)
def test_a_price_is_read_as_it_was_meant(
    spark: SparkSession, rule: ColumnRule, written: str, price: float | None
) -> None:
    assert read(spark, [written, None], rule, "double") == [price, None]


@pytest.mark.parametrize(
    ("rule", "written", "moment"),
    [
        (ColumnRule(column="ts", time="seconds"), "1769868000", (2026, 1, 31, 14)),
        (ColumnRule(column="ts", time="seconds"), "1769868000.5", (2026, 1, 31, 14, 0, 0, 500000)),
        (
            ColumnRule(column="ts", time="milliseconds"),
            "1769868000123",
            (2026, 1, 31, 14, 0, 0, 123000),
        ),
        (ColumnRule(column="ts", time="milliseconds"), "9" * 30, None),
        (ColumnRule(column="ts"), "2026-01-31T15:00:00+01:00", (2026, 1, 31, 14)),
        (ColumnRule(column="ts", zone="Europe/Berlin"), "2026-01-31T15:00:00", (2026, 1, 31, 14)),
        (ColumnRule(column="ts", zone="Europe/Berlin"), "2026-07-31 15:00", (2026, 7, 31, 13)),
        (ColumnRule(column="ts", zone="Europe/Berlin"), "2026-01-31T14:00:00Z", (2026, 1, 31, 14)),
        # The hour that the clocks repeat is its first one, that they skip the next.
        (
            ColumnRule(column="ts", zone="Europe/Berlin"),
            "2025-10-26 02:30:00",
            (2025, 10, 26, 0, 30),
        ),
        (
            ColumnRule(column="ts", zone="Europe/Berlin"),
            "2026-03-29 02:30:00",
            (2026, 3, 29, 1, 30),
        ),
        (
            ColumnRule(column="ts", time="dd.MM.yyyy HH:mm", zone="Europe/Berlin"),
            "31.01.2026 15:00",
            (2026, 1, 31, 14),
        ),
        (ColumnRule(column="ts", time="dd.MM.yyyy HH:mm"), "31.13.2026 15:00", None),
        (
            ColumnRule(column="ts", time="yyyy-MM-dd HH:mm:ss Z", zone="Europe/Berlin"),
            "2026-01-31 15:00:00 +0300",
            (2026, 1, 31, 12),
        ),
        (ColumnRule(column="ts"), "yesterday", None),
    ],
)
def test_a_time_is_read_in_its_unit_pattern_and_zone(
    spark: SparkSession, rule: ColumnRule, written: str, moment: tuple[int, ...] | None
) -> None:
    expected = None if moment is None else datetime(*moment, tzinfo=UTC)  # type: ignore[misc]

    assert read(spark, [written], rule, "timestamp") == [expected]


def test_lists_are_split_or_taken_from_several_columns(spark: SparkSession) -> None:
    split = ColumnRule(column="Bilder", separator="|")
    several = ColumnRule(column=("Bild 1", "Bild 2"))

    assert read(spark, ["a.jpg| b.jpg |", ""], split, "array<string>") == [["a.jpg", "b.jpg"], []]
    frame = local_frame(
        spark, [("a.jpg", None), (None, None), ('["b", "c"]', "d")], "x string, y string"
    )
    text = rule_text(several, {"Bild 1": F.col("x"), "Bild 2": F.col("y")})
    found = [
        row[0] for row in frame.select(value_by_rule(text, several, "array<string>")).collect()
    ]
    assert found == [["a.jpg"], None, ["b", "c", "d"]]


def test_attributes_and_texts_are_put_together_from_several_columns(spark: SparkSession) -> None:
    rule = ColumnRule(column=("Farbe", "Größe"))
    frame = local_frame(spark, [("rot", 'XL "lang"'), (None, "M")], "x string, y string")
    text = rule_text(rule, {"Farbe": F.col("x"), "Größe": F.col("y")})

    maps = [
        row[0] for row in frame.select(value_by_rule(text, rule, "map<string,string>")).collect()
    ]
    words = [row[0] for row in frame.select(value_by_rule(text, rule, "string")).collect()]

    assert maps == [{"Farbe": "rot", "Größe": 'XL "lang"'}, {"Größe": "M"}]
    assert words == ['rot\nXL "lang"', "M"]


def test_a_category_has_its_levels_separated_as_the_contract_says(spark: SparkSession) -> None:
    rule = ColumnRule(column="Kategorie", separator="/")

    assert read(spark, ["Küche / Kaffee/Mühlen", "/"], rule, "string") == [
        "Küche > Kaffee > Mühlen",
        None,
    ]


def test_texts_stand_for_those_of_the_contract_or_leave_the_row_out(spark: SparkSession) -> None:
    rule = ColumnRule(column="event", values={"ProductView": "view", "Login": ""})
    frame = local_frame(
        spark, [(t,) for t in ("ProductView", "Login", "Refund", None)], "text string"
    )

    assert read(spark, ["ProductView", " ProductView", "Login", "Refund"], rule, "string") == [
        "view",
        "view",
        None,
        None,
    ]
    left = [row[0] for row in frame.select(is_left_out(F.col("text"), rule)).collect()]
    assert left == [False, True, False, None]


@pytest.mark.parametrize(
    ("html", "words"),
    [
        (
            "<p>Fish &amp; <b>Chips</b></p><ul><li>hot</li><li>cheap</li></ul>",
            "Fish & Chips hot cheap",
        ),
        ("H<sub>2</sub>O &lt; 5&nbsp;l", "H2O < 5 l"),
        ("<style>p {color: red}</style><script>alert('x < y')</script>shown", "shown"),
        ("no tags, 5 < 6 and 7 > 2", "no tags, 5 < 6 and 7 > 2"),
        ("", ""),
    ],
)
def test_the_words_of_html_are_read(html: str, words: str) -> None:
    assert html_words(html) == words


def test_html_is_read_on_the_workers(spark: SparkSession) -> None:
    rule = ColumnRule(column="desc", html=True)

    assert read(spark, ["<p>a</p>b", None], rule, "string") == ["a b", None]
