"""Orphans: is every vector that of something in force?"""

import great_expectations.expectations as gxe


class ExpectNoOrphans(gxe.ExpectColumnMaxToBeBetween):
    """No vector belongs to a key that is gone."""

    max_value: float = 0
    description: str | None = "no vector of a key that is gone"
    notes: str | list[str] | None = (
        "Tombstones are missing: run the night again from the stage of this table."
    )
