"""Few changes: is a flood of changed content a broken feed?"""

import great_expectations.expectations as gxe


class ExpectFewChanges(gxe.ExpectColumnMaxToBeBetween):
    """The share of rows in force whose content changed in one night is small."""

    # Night two of the demo changes 5 %; a broken export of half of the pictures changes 50 %.
    # Catalogues that change by a quarter in one night are migrations, and deserve a look.
    max_value: float = 0.25
    description: str | None = "at most 25% of the rows of the night before change content"
    notes: str | list[str] | None = (
        "Look at some changed rows beside yesterday's: are pictures or titles those of the item?"
    )
