"""Suites of the vector tables: what is checked of vectors, whatever they are of."""

from collections.abc import Sequence

from great_expectations.expectations.expectation import Expectation

from spark_jobs.config import Config
from spark_jobs.contracts import Table
from validation.expectations.canaries import ExpectCanaries
from validation.expectations.coverage import ExpectCoverage
from validation.expectations.dimension import ExpectDimension
from validation.expectations.effective_rank import ExpectEffectiveRank
from validation.expectations.few_duplicates import ExpectFewDuplicates
from validation.expectations.few_near_identical import ExpectFewNearIdentical
from validation.expectations.no_drift import ExpectNoDrift
from validation.expectations.no_nan import ExpectNoNan
from validation.expectations.no_orphans import ExpectNoOrphans
from validation.expectations.spread import ExpectSpread
from validation.expectations.unit_norm import ExpectUnitNorm
from validation.expectations.vector_fits import ExpectVectorFits
from validation.figures import Figure
from validation.suites.every_table import every_table
from validation.vectors import CHANGED_FLOORS, POPULATION_FLOORS
from validation.words import on_figures, on_rows

_DRIFT = (
    *[f"drift_{name}" for name in POPULATION_FLOORS],
    *[f"changed_drift_{name}" for name in CHANGED_FLOORS],
)


def vector_suite(
    table: Table, figures: Sequence[Figure], config: Config, *, nouns: str
) -> list[Expectation]:
    """Return the checks of a vector table.

    Args:
        nouns: what the vectors are of, in the plural.
    """
    name = table.name
    return [
        *every_table(table, figures),
        on_rows(ExpectVectorFits, name),
        on_rows(
            ExpectDimension,
            name,
            description="as many numbers as the encoder says",
        ),
        on_rows(ExpectNoNan, name),
        on_rows(ExpectUnitNorm, name),
        on_rows(ExpectFewDuplicates, name),
        on_rows(ExpectCanaries, name),
        *covered(figures, config, nouns),
        *on_figures(ExpectSpread, figures, "mean_cosine"),
        *on_figures(ExpectEffectiveRank, figures, "effective_rank"),
        *on_figures(ExpectFewNearIdentical, figures, "near_identical"),
        *on_figures(ExpectNoDrift, figures, *_DRIFT, description="effect size at most {limit}"),
    ]


def covered(figures: Sequence[Figure], config: Config, nouns: str) -> list[Expectation]:
    """Everything in force has a row of each served encoder, and nothing else has one."""
    least = config.audit.min_coverage
    return [
        *on_figures(
            ExpectCoverage,
            figures,
            "coverage",
            min_value=least,
            description=f"at least {least:.0%} of {nouns} have a vector of their present content",
        ),
        *on_figures(ExpectNoOrphans, figures, "orphans"),
    ]
