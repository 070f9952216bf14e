"""Collisions: do codes tell SPUs apart?"""

import great_expectations.expectations as gxe


class ExpectFewCollisions(gxe.ExpectColumnMaxToBeBetween):
    """The share of SPUs with all three codes of an SPU of other content is at most ``max_value``.

    A ranker reads codes as ids: where half of the SPUs share theirs, ids say no more than a
    category. The demo: 37 %, with 16 codes a level for 202 SPUs.
    """

    notes: str | list[str] | None = (
        "Train the semantic ids again with a larger semantic_ids.codebook_size, as part of a new "
        "release. Where products are that much alike, raise audit.max_collisions."
    )
