"""JSON text and columns: exactly one value, compared with Python's own reader."""

import json
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs.engine.local_frames import local_frame
from spark_jobs.ingest.columns import CORRUPT, FEED_COLUMNS, FILE, PLACE
from spark_jobs.ingest.reading.column_names import match_names
from spark_jobs.ingest.reading.json_values import sole_value
from spark_jobs.ingest.reading.parsing import json_rows

T = TypeVar("T")
OBJECT = '{"domain": "page", "item_id": "a", "title": "T"}'

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
OBJECTS = st.dictionaries(
    st.sampled_from(["item_id", "title", "images", "_line", "_mark"]) | st.text(max_size=4),
    VALUES,
    max_size=5,
)
# What stands after an object on its line, and what is cut off one.
SCRAPS = st.text(alphabet='{}[]",:\\ 1aé/*\t', max_size=8) | st.sampled_from(
    [",", "}", "]", "],[{}", '},{"_mark":"1"}],[{', ',"x":1', "// note", "null", "\u0000", OBJECT]
)


@st.composite
def lines(draw: st.DrawFn) -> str:
    text = json.dumps(draw(OBJECTS), ensure_ascii=draw(st.booleans()))
    cut = draw(st.integers(0, len(text))) if draw(st.booleans()) else len(text)
    return text[:cut] + draw(SCRAPS)


def is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line.lstrip(" \ufeff")), dict)
    except ValueError:
        return False


def rows_of(spark: SparkSession, texts: Sequence[str]) -> list[tuple[bool, dict[str, object]]]:
    columns = f"value string, {FILE} string, {PLACE} int"
    frame = local_frame(spark, [(text, "f", 0) for text in texts], columns)
    rows = json_rows(frame, "items", match_names([], "items"), {}).collect()
    return [(row[CORRUPT], row["raw"].asDict()) for row in rows]


@pytest.fixture(scope="module")
def columns_of(spark: SparkSession) -> Callable[[Sequence[str]], list[dict[str, object]]]:
    """Split objects into columns with ``from_json`` alone, as text."""
    fields = ", ".join(f"{name} string" for name in FEED_COLUMNS["items"])

    def split(texts: Sequence[str]) -> list[dict[str, object]]:
        frame = local_frame(spark, [(text,) for text in texts], "value string")
        rows = frame.select(F.from_json("value", fields).alias("raw")).collect()
        return [row["raw"].asDict() for row in rows]

    return split


def drawn(strategy: st.SearchStrategy[T], count: int) -> list[T]:
    """Draw many examples, to be read in one job of Spark."""
    found: list[T] = []

    @seed(7)
    @settings(max_examples=count, database=None, phases=[Phase.generate])
    @given(strategy)
    def collect(example: T) -> None:
        found.append(example)

    collect()
    return found


def test_a_line_is_a_row_only_where_it_is_exactly_one_object(spark: SparkSession) -> None:
    texts = [line for line in drawn(lines(), 1000) if line.strip(" \t")]

    found = [not corrupt for corrupt, _ in rows_of(spark, texts)]

    expected = [is_object(text) for text in texts]
    assert [t for t, f, e in zip(texts, found, expected, strict=True) if f != e] == []
    assert 50 < sum(expected) < len(texts) - 50


def test_an_object_alone_on_its_line_has_the_columns_that_from_json_reads(
    spark: SparkSession, columns_of: Callable
) -> None:
    texts = [json.dumps(value) for value in drawn(OBJECTS, 300)]

    rows = rows_of(spark, texts)

    assert [row | {"_line": None} for row in columns_of(texts)] == [raw for _, raw in rows]


@pytest.mark.parametrize("end", [r'"\u*}', r'"\u12}', r'"\x"}', r"tru}", r'"a" 1}', "01}"])
def test_a_line_that_is_broken_deep_inside_is_kept_whole(spark: SparkSession, end: str) -> None:
    line = '{"domain": "page", "item_id": [{"a": {"b": 1}, ' + end

    ((corrupt, raw),) = rows_of(spark, [line])

    assert corrupt
    assert raw["_line"] == line


def test_odd_values_are_read_as_from_json_reads_them(
    spark: SparkSession, columns_of: Callable
) -> None:
    line = (
        '{"title": "\\u00e9 } { \\" ]", "price": 1234567890123456789012.5, "source": NaN, '
        '"attributes": {"a":[1, 2.50,"\\u00e9"]}, "brand": 1, "brand": 2, "text": 1e400}'
    )

    ((corrupt, raw),) = rows_of(spark, [line])

    assert not corrupt
    assert raw == columns_of([line])[0] | {"_line": None}
    assert (raw["title"], raw["brand"]) == ('é } { " ]', "2")


@pytest.mark.parametrize(
    "rest",
    [" junk", ",", "{}", f" {OBJECT}", f",{OBJECT}", f"],[{OBJECT}", "// note", "\u0000", "\ufeff"],
)
def test_a_line_with_anything_after_its_object_is_kept_whole(
    spark: SparkSession, rest: str
) -> None:
    ((corrupt, raw),) = rows_of(spark, [OBJECT + rest])

    assert corrupt
    assert {name: value for name, value in raw.items() if value is not None} == {
        "_line": OBJECT + rest
    }


@pytest.mark.parametrize(
    ("text", "type_", "value"),
    [
        ('["a", "b"]', "array<string>", ["a", "b"]),
        ('["a"]["b"]', "array<string>", None),
        ('["a"] and more', "array<string>", None),
        ('["a"],["b"]', "array<string>", None),
        ("[]", "array<string>", []),
        ('{"a": "b"}', "array<string>", None),
        ('{"a": "b"}', "map<string,string>", {"a": "b"}),
        ('{"a": "b"}{"c": "d"}', "map<string,string>", None),
        ("null", "map<string,string>", None),
        (None, "map<string,string>", None),
    ],
)
def test_a_list_or_map_is_read_where_it_is_the_whole_text(
    spark: SparkSession, text: str | None, type_: str, value: object
) -> None:
    frame = local_frame(spark, [(text,)], "value string")

    ((found,),) = frame.select(sole_value(F.col("value"), type_)).collect()

    assert found == value
