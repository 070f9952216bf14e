"""Effective rank: how many directions does a space use?"""

import great_expectations.expectations as gxe


class ExpectEffectiveRank(gxe.ExpectColumnMinToBeBetween):
    """The exponential of the spectrum's entropy is that of more than a plane or two."""

    # Identical vectors give 1, two clumps of them little more. The demo's vectors: 53 (COPE of 751
    # items, 128-d), 43 (202 SPUs), 22 (LEARN, 202 SPUs, 64-d), 21 (1,000 users).
    min_value: float = 3
    description: str | None = "at least 3 directions in use"
    notes: str | list[str] | None = (
        "The encoder collapsed or its input is blank: do not promote it; look at metrics.json "
        "and some inputs."
    )
