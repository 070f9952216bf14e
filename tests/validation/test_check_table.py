"""Every row of the check table can be bound to a night, and says what it should."""

from functools import reduce
from string import Formatter

import pytest

from spark_jobs.config import Config
from spark_jobs.contracts import PUBLISHED, QUARANTINE, TABLES
from validation.audit import AUDITED
from validation.check_table import CHECKS, Check
from validation.vector_expectations import NORM_TOLERANCE

BY_NAME = {check.name: check for check in CHECKS}


def row_id(check: Check) -> str:
    return f"{check.name}-{check.tables[0]}"


def setting(name: str) -> float:
    return float(reduce(getattr, name.split("."), Config()))


@pytest.mark.parametrize("check", CHECKS, ids=row_id)
def test_row_checks_a_column_or_figures_of_known_tables(check: Check) -> None:
    assert bool(check.column) != bool(check.figures)
    assert check.tables
    assert set(check.tables) <= set(AUDITED)


@pytest.mark.parametrize("check", CHECKS, ids=row_id)
def test_row_says_what_is_expected_and_what_to_do(check: Check) -> None:
    assert check.expected
    assert check.advice.endswith((".", "?"))
    placeholders = {name for _, name, _, _ in Formatter().parse(check.expected) if name}
    assert placeholders <= {"at_least", "at_most", "limit", "column", "values", "noun"}


@pytest.mark.parametrize("check", CHECKS, ids=row_id)
def test_limit_that_is_no_number_names_a_setting(check: Check) -> None:
    for limit in (check.at_least, check.at_most):
        if isinstance(limit, str):
            assert setting(limit) > 0


@pytest.mark.parametrize("check", CHECKS, ids=row_id)
def test_limit_that_somebody_chose_has_its_evidence(check: Check) -> None:
    chosen = [
        limit
        for limit in (check.at_least, check.at_most, 1 - check.mostly)
        if isinstance(limit, float) and limit != 0
    ]

    assert check.evidence or not chosen


def test_figures_have_one_check_a_table() -> None:
    pairs = [
        (table, figure) for check in CHECKS for table in check.tables for figure in check.figures
    ]

    assert len(pairs) == len(set(pairs))


def test_every_audited_table_has_a_check() -> None:
    assert {table for check in CHECKS for table in check.tables} == set(AUDITED)
    assert set(AUDITED) == {table.name for table in PUBLISHED} | {QUARANTINE.name}


def test_values_that_the_audit_knows_are_those_of_the_contract() -> None:
    known = {check.column: check.values for check in CHECKS if check.name == "known_values"}

    for column, values in known.items():
        comments = " ".join(table.ddl for table in TABLES.values())
        assert all(str(value) in comments for value in values), column


def test_limits_of_the_norm_are_those_of_the_expectation() -> None:
    norm = BY_NAME["unit_norm"]

    assert norm.at_least == pytest.approx(1 - NORM_TOLERANCE)
    assert norm.at_most == pytest.approx(1 + NORM_TOLERANCE)


def test_limits_are_those_that_their_evidence_was_measured_for() -> None:
    limits = {name: (check.at_least, check.at_most) for name, check in BY_NAME.items()}

    assert limits["few_changes"] == (None, 0.2)
    assert limits["few_shared_pictures"] == (None, 0.1)
    assert limits["little_churn"] == (None, 0.25)
    assert limits["spread"] == (None, 0.95)
    assert limits["effective_rank"] == (3, None)
    assert limits["few_near_identical"] == (None, 0.2)
    assert limits["codebook_used"] == (0.5, None)
    assert limits["codes_balanced"] == (0.5, None)
    assert limits["canaries"] == (0.999, None)
    assert BY_NAME["few_duplicates"].mostly == 0.8
