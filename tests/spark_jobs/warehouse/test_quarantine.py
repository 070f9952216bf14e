import json
from collections.abc import Sequence

import pytest
from pyspark.sql import DataFrame, SparkSession
from scipy.stats import binomtest

from spark_jobs.contracts import ITEMS, QUARANTINE, Table
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.warehouse.quarantine import (
    content_problems,
    replace_content_problems,
    replace_reason,
    wilson_lower_bound,
)

NIGHT, STAGE = Night.parse("2026-01-31"), "item_embeddings"
COLUMNS = "source string, reason string, scope string, record_key string, payload string"
CONTENTS = (
    "content_hash string, encoder_version string, "
    "problems array<struct<reason: string, detail: string, fatal: boolean>>"
)


class Ledger:
    """The part of ``Tables`` that quarantine uses, for one table, night and stage."""

    def __init__(self, spark: SparkSession, rows: Sequence[tuple[str, ...]] = ()) -> None:
        self.rows = local_frame(spark, rows, COLUMNS)
        self.writes = 0

    def recorded(self, table: Table, night: Night, stage: str) -> DataFrame:
        assert (table, night, stage) == (QUARANTINE, NIGHT, STAGE)
        return self.rows

    def record(self, rows: DataFrame, table: Table, night: Night, stage: str) -> None:
        assert (table, night, stage) == (QUARANTINE, NIGHT, STAGE)
        self.rows = local_frame(rows.sparkSession, rows.collect(), COLUMNS)
        self.writes += 1

    def keys(self) -> list[tuple[str, str]]:
        return sorted((row["reason"], row["record_key"]) for row in self.rows.collect())


def payload(content_hash: str, encoder_version: str = "cope_features@1") -> str:
    return json.dumps({"content_hash": content_hash, "encoder_version": encoder_version})


def problem(record_key: str, content_hash: str, *, version: str = "cope_features@1") -> tuple:
    return ("items", "image_corrupt", "modality", record_key, payload(content_hash, version))


def replaced(ledger: Ledger, spark: SparkSession, *, problems: list, encoded: list) -> None:
    replace_content_problems(
        ledger,  # type: ignore[arg-type]
        local_frame(spark, problems, COLUMNS) if problems else None,
        local_frame(spark, encoded, "content_hash string, encoder_version string"),
        night=NIGHT,
        stage=STAGE,
    )


def test_content_problems_are_one_row_an_owner_and_reason(spark: SparkSession) -> None:
    problems = [
        ("image_corrupt", "b.jpg", False),
        ("image_corrupt", "a.jpg", False),
        ("text_missing", "none", True),
    ]
    contents = local_frame(spark, [("h1", "x@1", problems), ("h2", "x@1", [])], CONTENTS)
    owners = local_frame(
        spark,
        [("h1", "page|1"), ("h1", "page|2"), ("h2", "page|3")],
        "content_hash string, record_key string",
    )

    rows = content_problems(contents, owners, source=ITEMS).collect()

    assert sorted((r["record_key"], r["reason"], r["scope"]) for r in rows) == [
        ("page|1", "image_corrupt", "modality"),
        ("page|1", "text_missing", "row"),
        ("page|2", "image_corrupt", "modality"),
        ("page|2", "text_missing", "row"),
    ]
    assert {r["source"] for r in rows} == {"items"}
    payloads = {r["payload"] for r in rows if r["reason"] == "image_corrupt"}
    assert [json.loads(text) for text in payloads] == [
        {"content_hash": "h1", "encoder_version": "x@1", "details": ["a.jpg", "b.jpg"]}
    ]


def test_problems_of_contents_that_were_not_encoded_again_are_kept(spark: SparkSession) -> None:
    ledger = Ledger(spark, [problem("page|1", "h1"), problem("page|2", "h2")])

    replaced(ledger, spark, problems=[problem("page|3", "h3")], encoded=[("h3", "cope_features@1")])

    assert ledger.keys() == [
        ("image_corrupt", "page|1"),
        ("image_corrupt", "page|2"),
        ("image_corrupt", "page|3"),
    ]


def test_a_content_that_was_read_at_the_second_attempt_loses_its_problem(
    spark: SparkSession,
) -> None:
    ledger = Ledger(spark, [problem("page|1", "h1"), problem("page|2", "h2")])

    replaced(ledger, spark, problems=[], encoded=[("h1", "cope_features@1")])

    assert ledger.keys() == [("image_corrupt", "page|2")]


def test_a_problem_of_another_encoder_version_is_kept(spark: SparkSession) -> None:
    ledger = Ledger(spark, [problem("page|1", "h1", version="cope_features@2")])

    replaced(ledger, spark, problems=[], encoded=[("h1", "cope_features@1")])

    assert ledger.keys() == [("image_corrupt", "page|1")]


def test_the_same_problem_of_two_encoder_versions_is_one_row(spark: SparkSession) -> None:
    ledger = Ledger(spark, [problem("page|1", "h1", version="cope_features@2")])

    replaced(ledger, spark, problems=[problem("page|1", "h1")], encoded=[("h1", "cope_features@1")])

    assert ledger.keys() == [("image_corrupt", "page|1")]


def test_nothing_is_written_where_there_is_no_problem_and_was_none(spark: SparkSession) -> None:
    ledger = Ledger(spark)

    replaced(ledger, spark, problems=[], encoded=[("h1", "cope_features@1")])

    assert ledger.writes == 0


def test_notices_are_counted_in_the_log_and_not_recorded(
    spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    cut = [("spus", "prompt_cut", "notice", f"s{n}", payload(f"h{n}")) for n in (2, 1)]
    encoded = [("h1", "cope_features@1"), ("h2", "cope_features@1")]
    ledger, mixed = Ledger(spark), Ledger(spark)

    replaced(ledger, spark, problems=cut, encoded=encoded)
    replaced(mixed, spark, problems=[*cut, problem("page|1", "h1")], encoded=encoded)

    assert (ledger.writes, ledger.keys()) == (0, [])
    assert mixed.keys() == [("image_corrupt", "page|1")]
    lines = [record.getMessage() for record in caplog.records]
    assert lines == 2 * [
        "stage=item_embeddings notice=prompt_cut rows of spus=2, encoded nevertheless; "
        f"the first: {payload('h1')}"
    ]


def test_a_problem_that_asks_for_nothing_is_a_notice(spark: SparkSession) -> None:
    problems = [("prompt_cut", "its last 3 tokens were cut off", False)]
    contents = local_frame(spark, [("h1", "x@1", problems)], CONTENTS)
    owners = local_frame(spark, [("h1", "s1")], "content_hash string, record_key string")

    (row,) = content_problems(contents, owners, source=ITEMS).collect()

    assert (row["reason"], row["scope"]) == ("prompt_cut", "notice")


def test_replacing_twice_equals_replacing_once(spark: SparkSession) -> None:
    ledger = Ledger(spark, [problem("page|1", "h1")])
    changes = {"problems": [problem("page|2", "h2")], "encoded": [("h2", "cope_features@1")]}

    replaced(ledger, spark, **changes)
    once = ledger.keys()
    replaced(ledger, spark, **changes)

    assert ledger.keys() == once


def test_rows_of_one_reason_are_replaced_and_those_of_others_kept(spark: SparkSession) -> None:
    ledger = Ledger(
        spark,
        [("spus", "no_item_vector", "row", "s1", "{}"), problem("page|1", "h1")],
    )
    rows = local_frame(spark, [("spus", "no_item_vector", "row", "s2", "{}")], COLUMNS)

    replace_reason(ledger, rows, "no_item_vector", night=NIGHT, stage=STAGE)  # type: ignore[arg-type]

    assert ledger.keys() == [("image_corrupt", "page|1"), ("no_item_vector", "s2")]

    replace_reason(ledger, None, "no_item_vector", night=NIGHT, stage=STAGE)  # type: ignore[arg-type]

    assert ledger.keys() == [("image_corrupt", "page|1")]


@pytest.mark.parametrize(("part", "whole"), [(2, 20), (170, 1000), (5, 5), (0, 40)])
def test_wilson_lower_bound_equals_that_of_scipy(part: int, whole: int) -> None:
    # A one-sided 95 % bound is the lower end of a two-sided 90 % interval.
    interval = binomtest(part, whole).proportion_ci(confidence_level=0.9, method="wilson")

    assert wilson_lower_bound(part, whole) == pytest.approx(interval.low, abs=1e-4)


def test_one_refused_row_of_a_small_feed_stays_below_a_limit_that_a_broken_feed_exceeds() -> None:
    assert wilson_lower_bound(1, 10) < 0.05
    assert wilson_lower_bound(10, 10) > 0.05
    assert wilson_lower_bound(170, 1000) > 0.05
