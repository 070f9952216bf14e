"""Range: is a number one that can be?"""

import great_expectations.expectations as gxe


class ExpectInRange(gxe.ExpectColumnValuesToBeBetween):
    """The column lies between ``min_value`` and ``max_value``."""

    notes: str | list[str] | None = (
        "Find the rows by their keys in the staged table, and the stage or feed that wrote the "
        "number."
    )
