"""No future: did everything happen before the night ended?"""

import great_expectations.expectations as gxe


class ExpectNoFutureEvents(gxe.ExpectColumnValuesToBeBetween):
    """Column ``seconds_late``, from the end of the night to ``occurred_at``, is below 0."""

    column: str = "seconds_late"
    max_value: float = 0
    strict_max: bool = True
    description: str | None = "occurred_at is before the end of the night"
    notes: str | list[str] | None = (
        "Ingest should have quarantined these events: check the clock and the time zone of their "
        "feed."
    )
