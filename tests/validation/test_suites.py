"""Rows of the check table become the checks of a night, with its figures and settings."""

from dataclasses import replace

import great_expectations.expectations as gxe
import pytest

from spark_jobs.config import AuditConfig, Config
from validation.check_table import CHECKS
from validation.measurements.figures import Figure
from validation.suites import NightCheck, figure_column, suite

CONFIG = Config()
DRIFT = Figure(
    "item_embeddings", "drift_mmd", 0.02, "moved", encoder_version="cope@1", at_most=0.01234
)


def named(table: str, *figures: Figure, config: Config = CONFIG) -> dict[str, NightCheck]:
    return {check.name: check for check in suite(table, figures, config)}


def test_every_table_has_the_checks_of_every_table() -> None:
    checks = named("spu_events", Figure("spu_events", "schema_differences", 0.0, "all 6 columns"))

    assert {
        "schema_kept",
        "unique_keys(spu_id, event, other_spu_id)",
        "no_nulls",
        "fresh",
    } <= set(checks)


def test_checks_are_named_by_column_keys_figure_and_encoder() -> None:
    checks = named("item_embeddings", DRIFT, replace(DRIFT, measure="orphans", at_most=None))

    assert "known_values(domain)" in checks
    assert "no_drift(drift_mmd, cope@1)" in checks  # one of several measures
    assert "no_orphans(cope@1)" in checks
    assert "unit_norm" in checks


def test_figure_of_another_table_is_not_checked() -> None:
    assert not [name for name in named("spu_embeddings", DRIFT) if name.startswith("no_drift")]


def test_check_without_its_figure_is_left_out() -> None:
    assert "volume_kept" not in named("items")
    assert "volume_kept" in named("items", Figure("items", "row_drop", 0.1, "90 rows"))


def test_limit_comes_from_the_setting_it_names() -> None:
    strict = replace(CONFIG, audit=AuditConfig(max_row_drop=0.05))
    figure = Figure("items", "row_drop", 0.1, "90 rows")

    check = named("items", figure, config=strict)["volume_kept"]

    assert (check.at_least, check.at_most) == (None, 0.05)
    assert check.expected == "at most 5% fewer items than the night before"


def test_figure_brings_a_limit_of_its_own() -> None:
    check = named("item_embeddings", DRIFT)["no_drift(drift_mmd, cope@1)"]

    assert check.at_most == 0.01234
    assert check.expected == "effect size at most 0.012"
    assert isinstance(check.expectation, gxe.ExpectColumnMaxToBeBetween)


def test_figure_that_was_not_measured_has_no_limit_to_name() -> None:
    unmeasured = replace(DRIFT, value=None, at_most=None)

    check = named("item_embeddings", unmeasured)["no_drift(drift_mmd, cope@1)"]

    assert not check.is_measured
    assert check.expected == "effect size at most what chance allows"


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("item_embeddings", "at least 98% of active items have a vector of their present content"),
        ("spu_semantic_ids", "at least 98% of active SPUs have a vector of their present content"),
        (
            "user_embeddings",
            "at least 98% of users with a history have a vector of their present content",
        ),
    ],
)
def test_coverage_names_what_has_vectors(table: str, expected: str) -> None:
    check = named(table, Figure(table, "coverage", 1.0, "all", "x@1"))["coverage(x@1)"]

    assert check.expected == expected


def test_row_checks_become_built_in_expectations_of_a_profile_column() -> None:
    items, events, vectors = (
        named(table) for table in ("items", "interactions", "item_embeddings")
    )

    price = items["in_range(price)"].expectation
    assert isinstance(price, gxe.ExpectColumnValuesToBeBetween)
    assert (price.column, price.min_value, price.max_value) == ("price", 0, 1e6)
    late = events["no_future_events"].expectation
    assert (late.column, late.max_value, late.strict_max) == ("seconds_late", 0, True)
    duplicates = vectors["few_duplicates"].expectation
    assert isinstance(duplicates, gxe.ExpectColumnValuesToBeInSet)
    assert (duplicates.value_set, duplicates.mostly) == ([False], 0.8)
    assert isinstance(items["no_nulls"].expectation, gxe.ExpectColumnValuesToBeNull)


def test_figures_become_limits_on_a_column_of_one_value() -> None:
    rank = Figure("item_embeddings", "effective_rank", 53.0, "53 of 128", "cope@1")

    expectation = named("item_embeddings", rank)["effective_rank(cope@1)"].expectation

    assert isinstance(expectation, gxe.ExpectColumnMinToBeBetween)
    assert expectation.column == figure_column(rank) == "item_embeddings__effective_rank__cope_1"
    assert (expectation.min_value, expectation.max_value) == (3, None)


def test_expectation_carries_what_people_read() -> None:
    expectation = named("items")["fresh"].expectation

    assert expectation.description == "event_timestamp is the end of the night"
    assert expectation.notes.startswith("Rows of another night were staged")
    assert expectation.meta == {"table": "items", "check": "fresh"}


def test_no_check_of_a_full_night_is_named_twice() -> None:
    figures = [
        Figure(table, measure, 0.5, "half", about)
        for check in CHECKS
        for table in check.tables
        for measure in check.figures
        for about in ("a@1", "b@1")
    ]
    tables = dict.fromkeys(table for check in CHECKS for table in check.tables)

    keys = [check.key for table in tables for check in suite(table, figures, CONFIG)]

    assert len(keys) == len(set(keys))
    assert len({figure_column(figure) for figure in figures}) == len(figures)
