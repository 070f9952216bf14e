"""Schema: does the staged table have the contract's columns?"""

import great_expectations.expectations as gxe


class ExpectSchemaKept(gxe.ExpectColumnMaxToBeBetween):
    """No column is missing, unknown or of another type."""

    max_value: float = 0
    description: str | None = "the columns of spark_jobs/contracts.py, with their types"
    notes: str | list[str] | None = (
        "The staged table is of another version of the contract: see CHANGELOG for how to carry "
        "it over."
    )
