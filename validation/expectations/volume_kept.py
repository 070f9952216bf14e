"""Volume: did a night lose rows?"""

import great_expectations.expectations as gxe


class ExpectVolumeKept(gxe.ExpectColumnMaxToBeBetween):
    """The share of rows lost since the night before is at most ``max_value``."""

    notes: str | list[str] | None = (
        "A snapshot feed may have come cut short: compare its size with yesterday's. If the loss "
        "is meant, raise "
        "audit.max_row_drop for this night."
    )
