"""Freshness: are the rows of this night?"""

import great_expectations.expectations as gxe


class ExpectFresh(gxe.ExpectColumnValuesToBeBetween):
    """Column ``seconds_off``, from the end of the night to ``event_timestamp``, is 0."""

    column: str = "seconds_off"
    min_value: float = 0
    max_value: float = 0
    description: str | None = "event_timestamp is the end of the night"
    notes: str | list[str] | None = (
        "Rows of another night were staged: run the night again from the stage that wrote them."
    )
