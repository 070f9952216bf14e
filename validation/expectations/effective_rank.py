"""Effective rank: how many directions does a space use?"""

import great_expectations.expectations as gxe


class ExpectEffectiveRank(gxe.ExpectColumnMinToBeBetween):
    """The exponential of the spectrum's entropy is that of more than a plane or two."""

    # Identical vectors give 1, two clumps of them 2; 128-d vectors of a few hundred products give
    # 20 to 60.
    min_value: float = 3
    description: str | None = "at least 3 directions in use"
    notes: str | list[str] | None = (
        "The encoder collapsed or its input is blank: do not promote it; look at metrics.json "
        "and some inputs."
    )
