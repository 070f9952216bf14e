"""Codes: does every code stand for a centroid of its codebook?"""

import great_expectations.expectations as gxe


class ExpectCodeInCodebook(gxe.ExpectColumnValuesToBeNull):
    """The column is null: it holds the codes that its codebook does not have."""

    notes: str | list[str] | None = (
        "Find the rows by their keys in the staged table, and run the stage spu_embeddings again."
    )
