"""Unit norm: is every vector L2-normalised, so that a dot product is a cosine?"""

import great_expectations.expectations as gxe


class ExpectUnitNorm(gxe.ExpectColumnValuesToBeBetween):
    """Column ``norm`` is 1, but for rounding."""

    column: str = "norm"
    # float32 rounding leaves 1e-6; norms of vectors normalised in bfloat16 came out at 1.003.
    min_value: float = 0.999
    max_value: float = 1.001
    description: str | None = "L2 norm between 0.999 and 1.001"
    notes: str | list[str] | None = "The encoder must normalise in float32, as its last step."
