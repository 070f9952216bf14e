"""Near-identical vectors: can rows of different content be told apart?"""

import great_expectations.expectations as gxe


class ExpectFewNearIdentical(gxe.ExpectColumnMaxToBeBetween):
    """The share of vectors whose direction is that of another content is small."""

    # None of the demo's vectors is that close to one of other content; a collapsed space is 100 %.
    max_value: float = 0.2
    description: str | None = (
        "at most 20% of vectors point where one of another content does (cosine above 0.9999)"
    )
    notes: str | list[str] | None = (
        "An input of the encoder went blank: compare pictures and titles of rows that share a "
        "direction."
    )
