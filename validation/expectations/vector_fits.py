"""A vector where there should be one: does every active row have one, and no removed row?"""

import great_expectations.expectations as gxe


class ExpectVectorFits(gxe.ExpectColumnValuesToBeInSet):
    """Column ``vector_fits`` is true."""

    column: str = "vector_fits"
    value_set: list[bool] = [True]
    description: str | None = "a vector in active rows, none in tombstones"
    notes: str | list[str] | None = (
        "The stage must write a tombstone where there is no vector, and null vectors in tombstones."
    )
