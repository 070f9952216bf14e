"""Balance: do a few codes take everything?"""

import great_expectations.expectations as gxe


class ExpectCodesBalanced(gxe.ExpectColumnMinToBeBetween):
    """The entropy of the first code is at least ``min_value`` of the most it can be."""

    # Cells of k-means on clustered data differ in size, but not by much: 0.97 in the demo.
    min_value: float = 0.5
    description: str | None = "entropy of the first code at least 50% of the most it can be"
    notes: str | list[str] | None = (
        "Train the semantic ids again on the vectors in force, as part of a new release."
    )
