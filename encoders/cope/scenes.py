"""Scenes: pictures that show several products, looked up part by part.

One vector of a whole scene is a mean of all that it shows, and near to nothing of it. So the scene
and parts of it get vectors of their own, and what is looked up scores as high as by the best of
them: docs/results/2026-12-01-cope-quality.md.
"""

from collections.abc import Sequence

from PIL import Image

# Parts of half a side, side by side and in between.
_OFFSETS = (0.0, 0.25, 0.5)
_SHARE = 0.5
# Of a part: of less, backbones see colours alone.
_LEAST_SIDE = 32


def scene_parts(picture: Image.Image) -> Sequence[Image.Image]:
    """Return a picture and nine overlapping parts of it; a small picture alone."""
    width, height = picture.size
    if min(width, height) * _SHARE < _LEAST_SIDE:
        return [picture]
    boxes = [
        (x * width, y * height, (x + _SHARE) * width, (y + _SHARE) * height)
        for y in _OFFSETS
        for x in _OFFSETS
    ]
    return [picture, *(picture.crop(box) for box in boxes)]
