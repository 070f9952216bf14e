"""Suites: rows of the check table as checks of one night, and as expectations that hold them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation

from spark_jobs.config import Config
from spark_jobs.contracts import ITEMS, SPUS, TABLES
from spark_jobs.warehouse.ledgers import check_label
from validation.check_table import CHECKS, Check, Limit
from validation.measurements.counts import NOUNS
from validation.measurements.figures import Figure
from validation.measurements.states import ENTITIES

# Table and label of a check.
CheckKey = tuple[str, str]

# Table -> what its rows are, in the plural; of other tables it is what their vectors are of.
_NOUNS = {ITEMS.name: "items", SPUS.name: "SPUs"}


@dataclass(frozen=True)
class NightCheck:
    """A check of one table in one night.

    Attributes:
        check: the row of the check table.
        table: name of the checked table.
        name: for people: the check, and in brackets what tells it from others of it.
        expected: for people, with limits.
        at_least: the limit that is applied; None where there is none.
        at_most: likewise.
        measure: figure or columns that are checked; None where the check has only one.
        figure: the checked figure; None for a check of each staged row.
    """

    check: Check
    table: str
    name: str
    expected: str
    at_least: float | None
    at_most: float | None
    measure: str | None = None
    figure: Figure | None = None

    @property
    def key(self) -> CheckKey:
        return self.table, self.name

    @property
    def is_measured(self) -> bool:
        """Whether there is anything to check: a figure may have nothing to measure."""
        return self.figure is None or self.figure.value is not None

    @property
    def expectation(self) -> Expectation:
        """The check for Great Expectations: of the row profile, or of ``figure_column``."""
        own: dict[str, object] = {
            "description": self.expected,
            "notes": self.check.advice,
            "meta": {"table": self.table, "check": self.name},
        }
        limits = {"min_value": self.at_least, "max_value": self.at_most}
        if self.figure is None:
            return _on_rows(self.check, limits, own)
        # The column has one value, which is its least and its greatest.
        kind = (
            gxe.ExpectColumnMinToBeBetween
            if self.at_most is None
            else gxe.ExpectColumnMaxToBeBetween
        )
        return kind(column=figure_column(self.figure), **limits, **own)


def suite(table: str, figures: Iterable[Figure], config: Config) -> list[NightCheck]:
    """Return the checks of a table, from what was measured about the night.

    Args:
        table: its name.
        figures: of any tables; a check of figures is left out where none of its figures are there.
        config: settings that limits may be named after.
    """
    of_table = [figure for figure in figures if figure.table == table]
    return [
        night_check
        for check in CHECKS
        if table in check.tables
        for night_check in _night_checks(check, table, of_table, config)
    ]


def figure_column(figure: Figure) -> str:
    """Return the name of a figure's column in the frame of all figures."""
    parts = (figure.table, figure.measure, figure.step, figure.encoder_version)
    return re.sub(r"\W+", "_", "__".join(part for part in parts if part))


def _night_checks(
    check: Check, table: str, figures: Sequence[Figure], config: Config
) -> list[NightCheck]:
    if check.column:
        keys = ", ".join(TABLES[table].keys)
        measure = check.measure.format(column=check.column, keys=keys)
        return [_night_check(check, table, measure or None, config)]
    return [
        _night_check(check, table, measure if len(check.figures) > 1 else None, config, figure)
        for measure in check.figures
        for figure in figures
        if figure.measure == measure
    ]


def _night_check(
    check: Check, table: str, measure: str | None, config: Config, figure: Figure | None = None
) -> NightCheck:
    at_least, at_most = (_limit(limit, config) for limit in (check.at_least, check.at_most))
    if figure is not None and figure.at_most is not None:
        at_most = figure.at_most
    entity = ENTITIES.get(table, ("",))[0]
    expected = check.expected.format(
        at_least=at_least,
        at_most=at_most,
        limit="what chance allows" if at_most is None else f"{at_most:.3f}",
        column=check.column,
        values=", ".join(map(str, check.values)),
        noun=_NOUNS.get(table, NOUNS.get(entity, table)),
    )
    parts = (figure.step, figure.encoder_version) if figure is not None else ()
    name = check_label(check.name, measure, *parts)
    return NightCheck(check, table, name, expected, at_least, at_most, measure, figure)


def _limit(limit: Limit, config: Config) -> float | None:
    if isinstance(limit, str):
        return float(attrgetter(limit)(config))
    return limit


def _on_rows(check: Check, limits: dict[str, float | None], own: dict[str, object]) -> Expectation:
    if check.values:
        return gxe.ExpectColumnValuesToBeInSet(
            column=check.column, value_set=list(check.values), mostly=check.mostly, **own
        )
    if check.below is not None:
        return gxe.ExpectColumnValuesToBeBetween(
            column=check.column, max_value=check.below, strict_max=True, mostly=check.mostly, **own
        )
    if limits == {"min_value": None, "max_value": None}:
        return gxe.ExpectColumnValuesToBeNull(column=check.column, mostly=check.mostly, **own)
    return gxe.ExpectColumnValuesToBeBetween(
        column=check.column, mostly=check.mostly, **limits, **own
    )
