"""Duplicates: do different contents get different vectors?"""

import great_expectations.expectations as gxe


class ExpectFewDuplicates(gxe.ExpectColumnValuesToBeInSet):
    """Column ``same_as_other``, whether other content has the same vector, is mostly false."""

    column: str = "same_as_other"
    value_set: list[bool] = [False]
    # Contents that differ in what an encoder does not read (text past its 32 tokens) share vectors;
    # none of the demo's do. An input that went blank gives half of the rows the same, or all.
    mostly: float = 0.8
    description: str | None = "at most 20% of vectors are also the vector of another content"
    notes: str | list[str] | None = (
        "An input of the encoder went blank: compare pictures and titles of rows that share a "
        "vector."
    )
