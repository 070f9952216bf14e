"""Known values: is a column one of the words that the contract lists?"""

import great_expectations.expectations as gxe


class ExpectKnownValues(gxe.ExpectColumnValuesToBeInSet):
    """The column is in ``value_set``."""

    notes: str | list[str] | None = (
        "A word that no reader knows: mend the stage, or add the word to spark_jobs/contracts.py."
    )
