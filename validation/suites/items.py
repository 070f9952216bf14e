"""Suite of ``items``: did the night lose items, change a flood of them, or blank their pictures?"""

from collections.abc import Sequence

from great_expectations.expectations.expectation import Expectation

from spark_jobs.config import Config
from spark_jobs.contracts import ITEMS
from validation.expectations.few_changes import ExpectFewChanges
from validation.expectations.few_shared_pictures import ExpectFewSharedPictures
from validation.expectations.in_range import ExpectInRange
from validation.expectations.not_empty import ExpectNotEmpty
from validation.expectations.volume_kept import ExpectVolumeKept
from validation.figures import Figure
from validation.suites.every_table import every_table
from validation.words import on_figures, on_rows


def suite(figures: Sequence[Figure], config: Config) -> list[Expectation]:
    """Return the checks of the table, from what was measured about it."""
    limit = config.audit.max_row_drop
    return [
        *every_table(ITEMS, figures),
        *on_figures(ExpectNotEmpty, figures, "rows"),
        *on_figures(
            ExpectVolumeKept,
            figures,
            "row_drop",
            max_value=limit,
            description=f"at most {limit:.0%} fewer items than the night before",
        ),
        *on_figures(ExpectFewChanges, figures, "changed"),
        *on_figures(ExpectFewSharedPictures, figures, "shared_pictures"),
        on_rows(
            ExpectInRange,
            ITEMS.name,
            "price",
            column="price",
            min_value=0,
            max_value=config.ingest.max_price,
            description=f"price between 0 and {config.ingest.max_price:,.0f}, where there is one",
        ),
    ]
