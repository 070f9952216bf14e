"""Suite of ``interactions``: did these events happen, and to items that we know?"""

from collections.abc import Sequence

from great_expectations.expectations.expectation import Expectation

from spark_jobs.config import Config
from spark_jobs.contracts import ACTIONS, INTERACTIONS
from validation.expectations.no_future_events import ExpectNoFutureEvents
from validation.expectations.references_kept import ExpectReferencesKept
from validation.figures import Figure
from validation.suites.every_table import every_table, known_values
from validation.words import on_figures, on_rows


def suite(figures: Sequence[Figure], config: Config) -> list[Expectation]:
    """Return the checks of the table, from what was measured about it."""
    return [
        *every_table(INTERACTIONS, figures),
        known_values(INTERACTIONS, "action", ACTIONS),
        on_rows(ExpectNoFutureEvents, INTERACTIONS.name),
        *on_figures(
            ExpectReferencesKept,
            figures,
            "unknown_items",
            description="every event is about an item that some night has taken in",
        ),
    ]
