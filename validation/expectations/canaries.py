"""Canaries: do unchanged inputs keep their vectors?"""

import great_expectations.expectations as gxe


class ExpectCanaries(gxe.ExpectColumnValuesToBeBetween):
    """Column ``cosine_to_last``, null where the content changed, is 1 but for rounding."""

    column: str = "cosine_to_last"
    # Batches of other make-up move a float32 vector by 1e-6, bfloat16 by up to 3e-4 in cosine.
    min_value: float = 0.999
    description: str | None = (
        "cosine of at least 0.999 with the last published vector where the content is the same"
    )
    notes: str | list[str] | None = (
        "The encoder is not the one its version names: check library versions, device and "
        "precision."
    )
