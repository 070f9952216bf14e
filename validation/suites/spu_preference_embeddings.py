"""Suite of ``spu_preference_embeddings``: does every SPU have a LEARN vector of its own?"""

from collections.abc import Sequence

from great_expectations.expectations.expectation import Expectation

from spark_jobs.config import Config
from spark_jobs.contracts import SPU_PREFERENCE_EMBEDDINGS
from validation.figures import Figure
from validation.suites.vector_tables import vector_suite


def suite(figures: Sequence[Figure], config: Config) -> list[Expectation]:
    """Return the checks of the table, from what was measured about it."""
    return vector_suite(SPU_PREFERENCE_EMBEDDINGS, figures, config, nouns="active SPUs")
