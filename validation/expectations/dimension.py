"""Dimension: has every vector the width that Feast's views declare?"""

import great_expectations.expectations as gxe


class ExpectDimension(gxe.ExpectColumnValuesToBeBetween):
    """Column ``dimension`` is the width of the table's vectors."""

    column: str = "dimension"
    notes: str | list[str] | None = (
        "An encoder of another width is in a served release: its dim must be the one in the "
        "configuration."
    )
