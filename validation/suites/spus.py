"""Suite of ``spus``: are there as many as the night before, with the members they say?"""

from collections.abc import Sequence

from great_expectations.expectations.expectation import Expectation

from spark_jobs.config import Config
from spark_jobs.contracts import SPUS
from validation.expectations.in_range import ExpectInRange
from validation.expectations.not_empty import ExpectNotEmpty
from validation.expectations.references_kept import ExpectReferencesKept
from validation.expectations.volume_kept import ExpectVolumeKept
from validation.figures import Figure
from validation.suites.every_table import every_table
from validation.words import on_figures, on_rows


def suite(figures: Sequence[Figure], config: Config) -> list[Expectation]:
    """Return the checks of the table, from what was measured about it."""
    limit = config.audit.max_row_drop
    return [
        *every_table(SPUS, figures),
        *on_figures(ExpectNotEmpty, figures, "rows"),
        *on_figures(
            ExpectVolumeKept,
            figures,
            "row_drop",
            max_value=limit,
            description=f"at most {limit:.0%} fewer SPUs than the night before",
        ),
        on_rows(
            ExpectInRange,
            SPUS.name,
            "n_items",
            column="n_items",
            min_value=1,
            description="every SPU has a member",
        ),
        *on_figures(
            ExpectReferencesKept,
            figures,
            "miscounted",
            description="n_items is the number of the SPU's members",
        ),
    ]
