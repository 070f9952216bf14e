"""Suite of ``spu_semantic_ids``: does every SPU have a code that tells it from others?"""

from collections.abc import Sequence

from great_expectations.expectations.expectation import Expectation

from spark_jobs.config import Config
from spark_jobs.contracts import SPU_SEMANTIC_IDS
from validation.expectations.code_in_codebook import ExpectCodeInCodebook
from validation.expectations.codebook_used import ExpectCodebookUsed
from validation.expectations.codes_balanced import ExpectCodesBalanced
from validation.expectations.few_collisions import ExpectFewCollisions
from validation.figures import Figure
from validation.semantic_codes import LEVELS
from validation.suites.every_table import every_table
from validation.suites.vector_tables import covered
from validation.words import on_figures, on_rows


def suite(figures: Sequence[Figure], config: Config) -> list[Expectation]:
    """Return the checks of the table, from what was measured about it."""
    most = config.audit.max_collisions
    return [
        *every_table(SPU_SEMANTIC_IDS, figures),
        *[
            on_rows(
                ExpectCodeInCodebook,
                SPU_SEMANTIC_IDS.name,
                level,
                column=level,
                description=f"{level} of the codebook, or null in tombstones",
            )
            for level in LEVELS
        ],
        *covered(figures, config, "active SPUs"),
        *on_figures(ExpectCodebookUsed, figures, "codebook_use"),
        *on_figures(ExpectCodesBalanced, figures, "code_entropy"),
        *on_figures(
            ExpectFewCollisions,
            figures,
            "collisions",
            max_value=most,
            description=f"at most {most:.0%} of SPUs share their code with one of other content",
        ),
    ]
