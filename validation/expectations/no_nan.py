"""No NaN: is every number of a vector a number?"""

import great_expectations.expectations as gxe


class ExpectNoNan(gxe.ExpectColumnValuesToBeInSet):
    """Column ``has_nan`` is false."""

    column: str = "has_nan"
    value_set: list[bool] = [False]
    description: str | None = "no NaN and no null within a vector"
    notes: str | list[str] | None = (
        "An encoder overflowed or divided by zero: try encoding.precision = float32, and look at "
        "the rows' input."
    )
