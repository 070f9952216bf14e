"""Suite of ``user_embeddings``: does every user with a history have a LEARN vector?"""

from collections.abc import Sequence

from great_expectations.expectations.expectation import Expectation

from spark_jobs.config import Config
from spark_jobs.contracts import USER_EMBEDDINGS
from validation.figures import Figure
from validation.suites.vector_tables import vector_suite


def suite(figures: Sequence[Figure], config: Config) -> list[Expectation]:
    """Return the checks of the table, from what was measured about it."""
    return vector_suite(USER_EMBEDDINGS, figures, config, nouns="users with a history")
