"""Refusals: is so much of a feed unusable that the feed is broken?"""

import great_expectations.expectations as gxe


class ExpectFewRefused(gxe.ExpectColumnMaxToBeBetween):
    """The share of a step's rows in quarantine is at most ``max_value``, small numbers forgiven."""

    notes: str | list[str] | None = (
        "Read payload and reason in the quarantine table; ask the source for a new feed, then "
        "run the night again."
    )
