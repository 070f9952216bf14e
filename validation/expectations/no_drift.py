"""Drift: are tonight's vectors like the published ones?"""

import great_expectations.expectations as gxe


class ExpectNoDrift(gxe.ExpectColumnMaxToBeBetween):
    """An effect size is at most its threshold; see validation/drift.py."""

    notes: str | list[str] | None = (
        "The encoder is the same, so its input changed: look at some changed rows beside "
        "yesterday's. If the change is "
        "meant, release a new encoder version on it."
    )
