"""Coverage: does everything in force have a vector?"""

import great_expectations.expectations as gxe


class ExpectCoverage(gxe.ExpectColumnMinToBeBetween):
    """The share with a vector of the encoder, of current content, is at least ``min_value``."""

    notes: str | list[str] | None = (
        "Look in quarantine for what could not be encoded; if nothing is there, run the "
        "embedding stages again."
    )
