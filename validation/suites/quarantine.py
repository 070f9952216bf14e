"""Suite of ``quarantine``: is a feed or stage refusing so much that it is broken?"""

from collections.abc import Sequence

from great_expectations.expectations.expectation import Expectation

from spark_jobs.config import Config
from validation.expectations.few_refused import ExpectFewRefused
from validation.figures import Figure
from validation.words import on_figures


def suite(figures: Sequence[Figure], config: Config) -> list[Expectation]:
    """Return the checks of the table, from what was measured about it."""
    limit = config.audit.max_quarantined
    return on_figures(
        ExpectFewRefused,
        figures,
        "refused",
        "unreadable_parts",
        max_value=limit,
        description=f"at most {limit:.0%} of rows go to quarantine (lower end of the 95% interval)",
    )
