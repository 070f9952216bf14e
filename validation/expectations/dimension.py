"""Dimension: has every vector the width that its encoder says?"""

import great_expectations.expectations as gxe


class ExpectDimension(gxe.ExpectColumnValuesToBeNull):
    """Column ``dimension`` is null: it holds the widths that are not the encoder's."""

    column: str = "dimension"
    notes: str | list[str] | None = (
        "The encoder's folder is not the one that made the vectors, or no served release has it: "
        "restore it, or run the stage again."
    )
