"""Looks: of which colours, pattern and proportions is the drawing of a product made?"""

from dataclasses import dataclass

from PIL import Image

from spark_jobs.demo.shop.chance import stream
from spark_jobs.demo.shop.products import COLOURS, RGB, Product
from spark_jobs.demo.shop.sketch import patterned


@dataclass(frozen=True)
class Look:
    """What a drawing is made of.

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
    """Return what a product's drawing is made of; variants of a line differ in colours alone."""
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
