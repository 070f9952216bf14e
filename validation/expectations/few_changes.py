"""Few changes: is a flood of changed content a broken feed?"""

import great_expectations.expectations as gxe


class ExpectFewChanges(gxe.ExpectColumnMaxToBeBetween):
    """The share of rows in force whose content changed in one night is small."""

    # The demo's night two changes 1.3 %, its broken feed with half of the pictures grey 30 %.
    # Catalogues that change by a fifth in one night are migrations, and deserve a look.
    max_value: float = 0.2
    description: str | None = "at most 20% of the rows of the night before change content"
    notes: str | list[str] | None = (
        "Look at some changed rows beside yesterday's: are pictures or titles those of the item?"
    )
