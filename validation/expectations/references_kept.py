"""References: does everything that a row refers to exist?"""

import great_expectations.expectations as gxe


class ExpectReferencesKept(gxe.ExpectColumnMaxToBeBetween):
    """No row contradicts another table."""

    max_value: float = 0
    notes: str | list[str] | None = (
        "The stages ran on different nights or inputs: run the night again from the spu stage."
    )
