"""Not null: does every row fill in what the contract promises?"""

import great_expectations.expectations as gxe


class ExpectNoNulls(gxe.ExpectColumnValuesToBeNull):
    """Column ``nulls``, which names the columns that must not be null and are, is null."""

    column: str = "nulls"
    description: str | None = "no null in a column that the contract declares NOT NULL"
    notes: str | list[str] | None = (
        "Find the stage that wrote the table: it must fill these columns in or quarantine the row."
    )
