"""Churn: do SPUs keep their ids from night to night?"""

import great_expectations.expectations as gxe


class ExpectLittleChurn(gxe.ExpectColumnMaxToBeBetween):
    """The share of SPUs merged or retired in one night is small."""

    # Ids outlive items by design: the demo's nights merge and retire none of 202 SPUs, though 7 %
    # of items change, come or go. A grouping gone wrong, by a changed cut, takes a large part.
    max_value: float = 0.25
    description: str | None = "at most 25% of the SPUs of the night before are merged or retired"
    notes: str | list[str] | None = (
        "Compare spu_events with the items that changed; a new cut or a broken attribute "
        "regroups everything."
    )
