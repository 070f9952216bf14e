"""The expectations about vectors work in a suite of a user's own, on any Spark frame."""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import great_expectations as gx
import pytest
from great_expectations.expectations.expectation import Expectation
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.engine.local_frames import local_frame
from validation.vector_expectations import (
    ExpectVectorsDistinct,
    ExpectVectorsFinite,
    ExpectVectorsUnitNorm,
    ExpectVectorsWidth,
    is_finite,
    l2_norm,
    same_vector_elsewhere,
)

NAN, INFINITY = math.nan, math.inf
Vectors = Sequence[Sequence[float | None] | None]
Check = Callable[..., Any]


@pytest.fixture(scope="module", name="check")
def _check(spark: SparkSession) -> Check:
    """Run one expectation over vectors, as a user of Great Expectations would."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    source = context.data_sources.add_spark("mine", persist=False)
    batch = source.add_dataframe_asset("frame").add_batch_definition_whole_dataframe("all")

    def checked(
        expectation: Expectation,
        vectors: Vectors,
        contents: Sequence[str] | None = None,
        form: str = "SUMMARY",
    ) -> Any:
        frame = {"dataframe": vector_frame(spark, vectors, contents)}
        return batch.get_batch(batch_parameters=frame).validate(expectation, result_format=form)

    return checked


def vector_frame(
    spark: SparkSession,
    vectors: Vectors,
    contents: Sequence[str] | None = None,
    number: str = "float",
) -> DataFrame:
    of_rows = contents or [f"content {i}" for i in range(len(vectors))]
    rows = [
        (None if vector is None else list(vector), content)
        for vector, content in zip(vectors, of_rows, strict=True)
    ]
    return local_frame(spark, rows, f"v array<{number}>, content string")


UNIT = [0.6, 0.8]
PASS_AND_FAIL = [
    (ExpectVectorsUnitNorm(column="v"), [UNIT, [1.0, 0.0]], [UNIT, [1.0, 1.0]]),
    (ExpectVectorsUnitNorm(column="v"), [[0.6004, 0.8]], [[0.603, 0.8]]),
    (ExpectVectorsUnitNorm(column="v"), [UNIT], [[NAN, 1.0]]),
    (ExpectVectorsUnitNorm(column="v"), [UNIT], [[None, 1.0]]),
    (ExpectVectorsUnitNorm(column="v", tolerance=0.5), [[1.0, 1.0]], [[2.0, 0.0]]),
    (ExpectVectorsFinite(column="v"), [UNIT, [-1e30, 0.0]], [UNIT, [NAN, 0.0]]),
    (ExpectVectorsFinite(column="v"), [[]], [[None, 0.0]]),
    (ExpectVectorsFinite(column="v"), [UNIT], [[0.0, -INFINITY]]),
    (ExpectVectorsWidth(column="v", width=2), [UNIT, [NAN, 0.0]], [UNIT, [1.0]]),
    (ExpectVectorsWidth(column="v", width=3), [[1.0, 2.0, 3.0]], [[]]),
    (ExpectVectorsDistinct(column="v"), [UNIT, [1.0, 0.0]], [UNIT, [1.0, 0.0], UNIT]),
]


@pytest.mark.parametrize(
    ("expectation", "sound", "broken"),
    PASS_AND_FAIL,
    ids=[f"{case[0].expectation_type}-{i}" for i, case in enumerate(PASS_AND_FAIL)],
)
def test_sound_vectors_pass_and_broken_ones_fail(
    check: Check, expectation: Expectation, sound: Vectors, broken: Vectors
) -> None:
    assert check(expectation, sound).success
    failed = check(expectation, broken)
    assert not failed.success
    assert not failed.exception_info.get("raised_exception")


@pytest.mark.parametrize(
    "expectation",
    [
        ExpectVectorsUnitNorm(column="v"),
        ExpectVectorsFinite(column="v"),
        ExpectVectorsWidth(column="v", width=2),
        ExpectVectorsDistinct(column="v"),
        ExpectVectorsDistinct(column="v", content="content"),
    ],
    ids=lambda expectation: expectation.expectation_type,
)
def test_rows_without_a_vector_are_left_out(check: Check, expectation: Expectation) -> None:
    found = check(expectation, [None, UNIT, None])

    assert found.success
    assert found.result["missing_count"] == 2
    assert check(expectation, [None, None]).success


@pytest.mark.parametrize("form", ["BOOLEAN_ONLY", "BASIC", "SUMMARY", "COMPLETE"])
def test_every_result_format_works(check: Check, form: str) -> None:
    found = check(ExpectVectorsWidth(column="v", width=2), [UNIT, [1.0], None], form=form)

    assert not found.success
    if form != "BOOLEAN_ONLY":
        assert found.result["unexpected_count"] == 1
        assert found.result["partial_unexpected_list"] == [[1.0]]


def test_mostly_forgives_some(check: Check) -> None:
    vectors = [UNIT] * 8 + [[3.0, 4.0]] * 2

    assert check(ExpectVectorsUnitNorm(column="v", mostly=0.8), vectors).success
    assert not check(ExpectVectorsUnitNorm(column="v", mostly=0.9), vectors).success


def test_same_content_may_share_a_vector(check: Check) -> None:
    by_content = ExpectVectorsDistinct(column="v", content="content")
    vectors = [UNIT, UNIT, [1.0, 0.0]]

    assert check(by_content, vectors, ["a", "a", "b"]).success
    failed = check(by_content, vectors, ["a", "b", "b"])
    assert not failed.success
    assert failed.result["unexpected_count"] == 2


def test_a_suite_of_all_four_names_each_broken_row(spark: SparkSession) -> None:
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_spark("mine", persist=False).add_dataframe_asset("frame")
    batch = asset.add_batch_definition_whole_dataframe("all")
    expectations = [
        ExpectVectorsUnitNorm(column="v"),
        ExpectVectorsFinite(column="v"),
        ExpectVectorsWidth(column="v", width=2),
        ExpectVectorsDistinct(column="v", content="content", mostly=0.5),
    ]
    suite = context.suites.add(gx.ExpectationSuite("vectors", expectations=expectations))
    run = context.validation_definitions.add(
        gx.ValidationDefinition(name="nightly", data=batch, suite=suite)
    )
    vectors = [UNIT, UNIT, [1.0, 0.0], [NAN, 0.0], [1.0], [0.0, 1.0], [0.0, -1.0], None]

    found = run.run(batch_parameters={"dataframe": vector_frame(spark, vectors, number="double")})

    counts = {r.expectation_config.type: r.result["unexpected_count"] for r in found.results}
    assert counts == {
        "expect_vectors_unit_norm": 1,
        "expect_vectors_finite": 1,
        "expect_vectors_width": 1,
        "expect_vectors_distinct": 2,
    }
    assert [r.expectation_config.type for r in found.results if r.success] == [
        "expect_vectors_distinct"
    ]


def test_great_expectations_site_shows_them(spark: SparkSession, tmp_path: Any) -> None:
    from validation.great_expectations_run import ExpectationRuns

    runs = ExpectationRuns("2026-01-31")
    runs.on_rows("mine", vector_frame(spark, [UNIT]), [ExpectVectorsWidth(column="v", width=2)])
    runs.write_site(str(tmp_path / "site"))

    pages = "".join(page.read_text() for page in (tmp_path / "site").rglob("*.html"))
    assert "expect_vectors_width" in pages


def test_measures_of_a_row_are_null_without_a_vector(spark: SparkSession) -> None:
    frame = vector_frame(spark, [[3.0, 4.0], [NAN, 1.0], [1.0, None], [], None])

    found = frame.select(l2_norm(F.col("v")).alias("norm"), is_finite(F.col("v")).alias("finite"))
    norms, finite = zip(*[tuple(row) for row in found.collect()], strict=True)

    assert norms[0] == 5
    assert math.isnan(norms[1])
    assert norms[2:] == (None, 0, None)
    assert finite == (True, False, False, True, None)


def test_same_vector_is_sought_within_an_encoder(spark: SparkSession) -> None:
    rows = [([1.0, 0.0], "a", "cope@1"), ([1.0, 0.0], "b", "cope@2"), ([0.0, 1.0], "c", "cope@1")]
    frame = local_frame(spark, rows, "v array<float>, content string, encoder string")
    vector, content = F.col("v"), F.col("content")

    found = frame.select(
        same_vector_elsewhere(vector, content).alias("anywhere"),
        same_vector_elsewhere(vector, content, F.col("encoder")).alias("within"),
    )

    assert sorted(row["anywhere"] for row in found.collect()) == [False, True, True]
    assert not any(row["within"] for row in found.collect())


def test_guides_suite_prints_what_the_guide_shows(
    spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    guide = Path(__file__).parents[2] / "docs" / "guides" / "data-engineers.md"
    section = guide.read_text().split("## Vectors of your own")[1].split("\n## ")[0]
    blocks = re.findall(r"```(?:python)?\n(.*?)```", section, re.DOTALL)
    program, printed = blocks

    exec(program, {"__name__": "guide"})  # in the tests' session

    assert capsys.readouterr().out == printed
