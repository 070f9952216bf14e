"""Codebook: are its codes in use?"""

import great_expectations.expectations as gxe


class ExpectCodebookUsed(gxe.ExpectColumnMinToBeBetween):
    """The share of first codes in use is at least ``min_value``."""

    # k-means leaves no cell empty on the vectors it was made from; half empty means that SPUs moved
    # away from it.
    min_value: float = 0.5
    description: str | None = (
        "at least 50% of the first codes that this many SPUs can reach are in use"
    )
    notes: str | list[str] | None = (
        "Train the semantic ids again on the vectors in force, as part of a new release."
    )
