"""Spread: do vectors point in different directions?"""

import great_expectations.expectations as gxe


class ExpectSpread(gxe.ExpectColumnMaxToBeBetween):
    """The mean cosine of two vectors in force is below that of a collapsed space."""

    # Raw states of the language model, of no use for comparing, lie above 0.99 (135M parameters).
    # The demo's vectors: 0.00 (COPE) and 0.53 (LEARN).
    max_value: float = 0.95
    description: str | None = "mean cosine of two vectors at most 0.95"
    notes: str | list[str] | None = (
        "The encoder collapsed or its input is blank: do not promote it; look at metrics.json "
        "and some inputs."
    )
