"""Thumbnails: small copies of items' pictures that travel in the page itself.

Pictures come from outside: their bytes must be those that were ingested, their size is looked at
before a pixel is decoded, and one that cannot be shown is a sentence on the page.
"""

from base64 import b64encode
from io import BytesIO

from encoders.cope.preprocessing import BadPicture, Limits, read_picture
from spark_jobs.report.facts import Picture

SIDE = 112
_QUALITY = 62
_WORDS = {
    "image_missing": "the picture is no longer where it was",
    "image_changed": "the picture's bytes have changed since it was read",
    "image_too_large": "the picture is too large to be shown",
    "image_corrupt": "the picture cannot be decoded",
}


def thumbnail(uri: str, sha256: str, *, max_pixels: int) -> Picture:
    """Return a picture of at most ``SIDE`` pixels a side as a data URI, or why there is none."""
    read = read_picture(uri, sha256, limits=Limits(max_pixels=max_pixels), side=SIDE)
    if isinstance(read, BadPicture):
        return Picture(None, _WORDS.get(read.reason, "the picture cannot be shown"))
    read.thumbnail((SIDE, SIDE))
    content = BytesIO()
    read.save(content, "WEBP", quality=_QUALITY, method=4)
    return Picture(f"data:image/webp;base64,{b64encode(content.getvalue()).decode()}")
