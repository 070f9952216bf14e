"""Collisions: do codes tell SPUs apart?"""

import great_expectations.expectations as gxe


class ExpectFewCollisions(gxe.ExpectColumnMaxToBeBetween):
    """The share of SPUs that share all three codes with an SPU of other content is small."""

    # A ranker reads codes as ids: where half of the SPUs share theirs, ids say no more than a
    # category. The demo: 37 %, with 16 codes a level for 202 SPUs.
    max_value: float = 0.5
    description: str | None = "at most 50% of SPUs share their code with one of other content"
    notes: str | list[str] | None = (
        "Train the semantic ids again with a larger semantic_ids.codebook_size, as part of a new "
        "release. Where products are that much alike, raise audit.max_collisions."
    )
