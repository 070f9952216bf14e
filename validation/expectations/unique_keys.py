"""Unique keys: is there one row a key and night?"""

import great_expectations.expectations as gxe


class ExpectUniqueKeys(gxe.ExpectColumnValuesToBeBetween):
    """Column ``rows_of_key`` is 1."""

    column: str = "rows_of_key"
    min_value: float = 1
    max_value: float = 1
    description: str | None = "one row a key"
    notes: str | list[str] | None = (
        "Two rows of one key and night: the stage that wrote them must choose one."
    )
