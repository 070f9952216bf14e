"""Shared pictures: do many items suddenly show one picture?"""

import great_expectations.expectations as gxe


class ExpectFewSharedPictures(gxe.ExpectColumnMaxToBeBetween):
    """The share of tonight's items that show a picture which many others show is small."""

    # A placeholder stands where pictures could not be delivered: all 227 changed items of the
    # demo's broken night show one, none of its other nights' 749 and 41 do.
    max_value: float = 0.1
    description: str | None = (
        "at most 10% of new or changed items show a picture that many others show"
    )
    notes: str | list[str] | None = (
        "Open the picture: a grey or 'no image' placeholder means that the feed's picture export "
        "is broken."
    )
