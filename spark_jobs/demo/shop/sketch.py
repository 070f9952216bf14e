"""Sketches: a transparent canvas for shapes, and the colours, pattern and emblem of a product."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from spark_jobs.demo.shop.products import BRANDS, COLOURS, RGB, Product, stream

SIZE = 256  # pixels of a sketch; drawn at this size and only ever made smaller
Point = tuple[float, float]
Area = tuple[float, float, float, float]
Paint = RGB | Image.Image
Grid = NDArray[np.float32]
_INK = (34, 34, 38, 255)


class Sketch:
    """A transparent square canvas; coordinates run from 0 to 1, left to right and top to bottom."""

    def __init__(self) -> None:
        self.image = Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0))

    def polygon(self, points: Sequence[Point], paint: Paint, *, soft: float = 0.0) -> None:
        """Fill a polygon; ``soft`` rounds its corners."""
        scaled = [(x * SIZE, y * SIZE) for x, y in points]
        self._fill(lambda draw: draw.polygon(scaled, fill=255), paint, soft)

    def box(self, area: Area, paint: Paint, *, radius: float = 0.0) -> None:
        """Fill the rectangle (left, top, right, bottom), its corners rounded."""
        left, top, right, bottom = (part * SIZE for part in area)
        corners = (left, top, right, bottom)
        self._fill(lambda d: d.rounded_rectangle(corners, radius * SIZE, fill=255), paint)

    def disc(self, centre: Point, radii: Point, paint: Paint) -> None:
        """Fill an ellipse."""
        (x, y), (wide, high) = centre, radii
        area = ((x - wide) * SIZE, (y - high) * SIZE, (x + wide) * SIZE, (y + high) * SIZE)
        self._fill(lambda draw: draw.ellipse(area, fill=255), paint)

    def stroke(self, points: Sequence[Point], paint: Paint, *, width: float) -> None:
        """Draw a line with round ends through points."""
        scaled = [(x * SIZE, y * SIZE) for x, y in points]
        thick = max(1, round(width * SIZE))

        def draw_line(draw: ImageDraw.ImageDraw) -> None:
            draw.line(scaled, fill=255, width=thick, joint="curve")
            for x, y in (scaled[0], scaled[-1]):
                half = thick / 2
                draw.ellipse((x - half, y - half, x + half, y + half), fill=255)

        self._fill(draw_line, paint)

    def finished(self) -> Image.Image:
        """Return the picture with a dark outline, visible on any background."""
        outline = self.image.getchannel("A").filter(ImageFilter.MaxFilter(5))
        picture = Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0))
        picture.paste(_INK, (0, 0), outline)
        picture.alpha_composite(self.image)
        return picture

    def _fill(
        self, shape: Callable[[ImageDraw.ImageDraw], None], paint: Paint, soft: float = 0.0
    ) -> None:
        mask = Image.new("L", (SIZE, SIZE), 0)
        shape(ImageDraw.Draw(mask))
        if soft:
            blurred = mask.filter(ImageFilter.GaussianBlur(soft * SIZE))
            mask = blurred.point([max(0, min(255, (value - 112) * 8)) for value in range(256)])
        filling = paint if isinstance(paint, Image.Image) else (*paint, 255)
        self.image.paste(filling, (0, 0, SIZE, SIZE), mask)


def mixed(colour: RGB, other: RGB, share: float) -> RGB:
    """Return ``colour`` with ``share`` of ``other`` in it."""
    parts = (round(a * (1 - share) + b * share) for a, b in zip(colour, other, strict=True))
    red, green, blue = parts
    return red, green, blue


def lighter(colour: RGB, share: float = 0.4) -> RGB:
    """Return ``colour`` nearer to white."""
    return mixed(colour, (255, 255, 255), share)


def darker(colour: RGB, share: float = 0.4) -> RGB:
    """Return ``colour`` nearer to black."""
    return mixed(colour, (0, 0, 0), share)


def arc(centre: Point, radii: Point, degrees: Point) -> list[Point]:
    """Return points of part of an ellipse, clockwise from the right."""
    angles = np.radians(np.linspace(degrees[0], degrees[1], 40))
    (x, y), (wide, high) = centre, radii
    return [(x + wide * float(np.cos(a)), y + high * float(np.sin(a))) for a in angles]


_STEPS = np.linspace(0, 1, SIZE, dtype=np.float32)
_X, _Y = np.meshgrid(_STEPS, _STEPS)


def patterned(colour: RGB, second: RGB, pattern: str, density: float = 12.0) -> Image.Image:
    """Return a paint of two colours, lit from the left.

    Args:
        pattern: one of ``PATTERNS``.
        density: how often the pattern repeats over the canvas.
    """
    second_share = _pattern(pattern, density)[..., None]
    first, other = np.array(colour, np.float32), np.array(second, np.float32)
    colours = first + (other - first) * second_share
    light = 1.12 - 0.42 * _X[..., None] - 0.1 * _Y[..., None]
    return Image.fromarray(np.clip(colours * light, 0, 255).astype(np.uint8)).convert("RGBA")


def _pattern(pattern: str, density: float) -> NDArray[np.float32]:
    """Return the share of the second colour at each pixel, 0 to 1."""
    return np.asarray(_PATTERNS[pattern](_X * density, _Y * density), dtype=np.float32)


# The share of the second colour; each pattern repeats at every whole number of x and y.
_PATTERNS: Mapping[str, Callable[[Grid, Grid], NDArray[np.generic]]] = {
    "plain": lambda x, y: np.zeros_like(x),
    "striped": lambda x, y: y % 1 < 0.4,
    "diagonal": lambda x, y: (x + y) * 0.7 % 1 < 0.3,
    "dotted": lambda x, y: (x % 1 - 0.5) ** 2 + (y % 1 - 0.5) ** 2 < 0.07,
    "checked": lambda x, y: ((x % 1 < 0.5) * 1.0 + (y % 1 < 0.5)) * 0.45,
    "zigzag": lambda x, y: (y + np.abs(x % 1 - 0.5) * 1.6) % 1 < 0.4,
}


@dataclass(frozen=True)
class Look:
    """The colours and proportions of a product's drawing.

    Attributes:
        body: paint of the main part: colours, pattern and light.
        proportions: six numbers from 0 to 1 that shape the details.
    """

    brand: str
    colour: RGB
    second: RGB
    body: Image.Image
    proportions: tuple[float, ...]

    def choice(self, index: int, count: int) -> int:
        """Return one of ``count`` variants of a detail."""
        return min(count - 1, int(self.proportions[index] * count))

    def between(self, index: int, low: float, high: float) -> float:
        """Return a proportion between two bounds."""
        return low + self.proportions[index] * (high - low)


def look_of(product: Product, seed: int) -> Look:
    """Return the look of a product; variants of a line differ in their colours alone."""
    rng = stream(seed, "look", product.brand, product.line, product.kind)
    colour, second = COLOURS[product.colour][0], COLOURS[product.second_colour][0]
    density = float(rng.uniform(8, 16))
    proportions = tuple(float(number) for number in rng.random(6))
    return Look(
        brand=product.brand,
        colour=colour,
        second=second,
        body=patterned(colour, second, product.pattern, density),
        proportions=proportions,
    )


def emblem(sketch: Sketch, brand: str, centre: Point, radius: float) -> None:
    """Put the brand's sign on a sketch; no two brands share its shape and both colours."""
    index = BRANDS.index(brand)
    ground, sign = _EMBLEM_COLOURS[index % 8], _EMBLEM_COLOURS[(index * 3 + 5) % 8]
    sketch.disc(centre, (radius, radius), ground)
    corners, depth = _EMBLEM_SHAPES[index % len(_EMBLEM_SHAPES)]
    steps = np.linspace(0, 2 * np.pi, corners * 2, endpoint=False) - np.pi / 2
    points = [
        (
            centre[0] + radius * (0.8 if turn % 2 == 0 else depth) * float(np.cos(angle)),
            centre[1] + radius * (0.8 if turn % 2 == 0 else depth) * float(np.sin(angle)),
        )
        for turn, angle in enumerate(steps)
    ]
    sketch.polygon(points, sign if sign != ground else (255, 255, 255))


_EMBLEM_COLOURS: Sequence[RGB] = (
    (250, 250, 250), (214, 40, 40), (29, 53, 87), (255, 200, 40),
    (42, 157, 143), (20, 20, 20), (131, 56, 236), (240, 128, 60),
)  # fmt: skip
# Corners, and depth of the notches between them.
_EMBLEM_SHAPES = ((3, 0.4), (4, 0.56), (5, 0.32), (4, 0.2), (8, 0.5), (6, 0.69), (3, 0.12))
