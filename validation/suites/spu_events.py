"""Suite of ``spu_events``: do events tell how the set of SPUs changed, and are they few?"""

from collections.abc import Sequence

from great_expectations.expectations.expectation import Expectation

from spark_jobs.config import Config
from spark_jobs.contracts import SPU_EVENTS
from validation.expectations.little_churn import ExpectLittleChurn
from validation.expectations.references_kept import ExpectReferencesKept
from validation.figures import Figure
from validation.suites.every_table import every_table, known_values
from validation.words import on_figures

_EVENTS = ("created", "merged", "split", "retired")


def suite(figures: Sequence[Figure], config: Config) -> list[Expectation]:
    """Return the checks of the table, from what was measured about it."""
    return [
        *every_table(SPU_EVENTS, figures),
        known_values(SPU_EVENTS, "event", _EVENTS),
        *on_figures(
            ExpectReferencesKept,
            figures,
            "contradicting",
            "unexplained",
            description="SPUs come and go as their events say",
        ),
        *on_figures(ExpectLittleChurn, figures, "churn"),
    ]
