"""Churn: do SPUs keep their ids from night to night?"""

import great_expectations.expectations as gxe


class ExpectLittleChurn(gxe.ExpectColumnMaxToBeBetween):
    """The share of SPUs merged or retired in one night is small."""

    # Ids outlive items by design. Where 5 % of items change (the demo's night two), about 2 % of
    # SPUs go; a grouping gone wrong, by a changed cut or emptied titles, takes half.
    max_value: float = 0.25
    description: str | None = "at most 25% of the SPUs of the night before are merged or retired"
    notes: str | list[str] | None = (
        "Compare spu_events with the items that changed; a new cut or a broken attribute "
        "regroups everything."
    )
