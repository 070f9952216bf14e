"""Suite of ``spu_members``: does every page have its SPU, and every member its item?"""

from collections.abc import Sequence

from great_expectations.expectations.expectation import Expectation

from spark_jobs.config import Config
from spark_jobs.contracts import SPU_MEMBERS
from validation.expectations.coverage import ExpectCoverage
from validation.expectations.in_range import ExpectInRange
from validation.expectations.references_kept import ExpectReferencesKept
from validation.figures import Figure
from validation.suites.every_table import every_table, known_values
from validation.words import on_figures, on_rows

_ASSIGNED_BY = ("attributes", "link")


def suite(figures: Sequence[Figure], config: Config) -> list[Expectation]:
    """Return the checks of the table, from what was measured about it."""
    least = config.audit.min_coverage
    return [
        *every_table(SPU_MEMBERS, figures),
        known_values(SPU_MEMBERS, "assigned_by", _ASSIGNED_BY),
        on_rows(
            ExpectInRange,
            SPU_MEMBERS.name,
            "confidence",
            column="confidence",
            min_value=0,
            max_value=1,
            description="confidence between 0 and 1",
        ),
        *on_figures(
            ExpectCoverage,
            figures,
            "grouped_pages",
            min_value=least,
            description=f"at least {least:.0%} of active pages have an SPU",
        ),
        *on_figures(
            ExpectReferencesKept,
            figures,
            "no_item",
            "no_spu",
            description="every member is an item in force of an SPU in force",
        ),
    ]
