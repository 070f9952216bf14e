"""Not empty: is there anything to publish?"""

import great_expectations.expectations as gxe


class ExpectNotEmpty(gxe.ExpectColumnMinToBeBetween):
    """At least one row is in force."""

    min_value: float = 1
    description: str | None = "at least one row in force"
    notes: str | list[str] | None = (
        "A night does not publish emptiness: check the feeds, and that the stages before ran for "
        "this night."
    )
