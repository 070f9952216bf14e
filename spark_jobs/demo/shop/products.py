"""Products of the shop, and the random streams that every part of it draws from."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

RGB = tuple[int, int, int]
T = TypeVar("T")


@dataclass(frozen=True)
class Category:
    """A kind of product: its names, its prices, how its size is measured.

    Attributes:
        measures: sizes as (number, unit); each is a product of its own.
        price: median price of the cheapest and of the most expensive price level.
    """

    path: str
    noun: str
    short: str
    measure: str
    measures: Sequence[tuple[str, str]]
    materials: Sequence[str]
    price: tuple[float, float]


CATEGORIES: Mapping[str, Category] = {
    "phone": Category(
        "Electronics > Smartphones", "smartphone", "phone", "storage",
        (("64", "GB"), ("128", "GB"), ("256", "GB")), ("glass", "aluminium"), (180, 900),
    ),
    "headphones": Category(
        "Electronics > Headphones", "headphones", "headset", "battery life",
        (("20", "h"), ("30", "h"), ("45", "h")), ("plastic", "leather"), (40, 320),
    ),
    "kettle": Category(
        "Kitchen > Kettles", "electric kettle", "kettle", "volume",
        (("1.0", "l"), ("1.5", "l"), ("1.7", "l")), ("steel", "glass", "enamel"), (25, 140),
    ),
    "mug": Category(
        "Kitchen > Mugs", "coffee mug", "mug", "volume",
        (("250", "ml"), ("350", "ml"), ("450", "ml")), ("porcelain", "stoneware"), (7, 32),
    ),
    "shirt": Category(
        "Clothing > T-Shirts", "t-shirt", "tee", "size",
        (("S", ""), ("M", ""), ("L", ""), ("XL", "")), ("cotton", "linen", "jersey"), (12, 70),
    ),
    "sneaker": Category(
        "Shoes > Sneakers", "sneakers", "shoes", "size",
        (("38", "EU"), ("40", "EU"), ("42", "EU"), ("44", "EU")),
        ("canvas", "leather", "mesh"), (45, 190),
    ),
    "backpack": Category(
        "Bags > Backpacks", "backpack", "rucksack", "volume",
        (("15", "l"), ("20", "l"), ("30", "l")), ("nylon", "canvas"), (30, 160),
    ),
    "lamp": Category(
        "Home > Table Lamps", "table lamp", "lamp", "height",
        (("30", "cm"), ("40", "cm"), ("50", "cm")), ("steel", "oak", "ceramic"), (25, 210),
    ),
}  # fmt: skip

# Name -> the colour itself and other words that merchants use for it.
COLOURS: Mapping[str, tuple[RGB, Sequence[str]]] = {
    "black": ((38, 38, 44), ("jet black", "midnight")),
    "white": ((236, 234, 228), ("ivory", "snow white")),
    "grey": ((134, 139, 148), ("graphite", "gray")),
    "red": ((203, 40, 45), ("crimson", "scarlet")),
    "blue": ((38, 84, 186), ("navy", "cobalt")),
    "green": ((46, 132, 72), ("emerald", "olive")),
    "orange": ((233, 122, 32), ("tangerine", "amber")),
    "yellow": ((240, 200, 52), ("mustard", "lemon")),
    "pink": ((235, 130, 168), ("rose", "blush")),
    "purple": ((122, 66, 168), ("violet", "plum")),
    "teal": ((30, 150, 150), ("turquoise", "petrol")),
    "brown": ((124, 80, 48), ("tan", "chestnut")),
}

PATTERNS = ("plain", "striped", "dotted", "checked", "zigzag", "diagonal")


@dataclass(frozen=True)
class Style:
    """A style shared by products of all categories: its colours, patterns and words."""

    colours: Sequence[str]
    patterns: Sequence[str]
    words: Sequence[str]


STYLES: Mapping[str, Style] = {
    "minimal": Style(
        ("black", "white", "grey"),
        ("plain", "plain", "diagonal"),
        ("minimalist", "clean lines", "pure"),
    ),
    "sporty": Style(
        ("red", "blue", "orange", "green"),
        ("striped", "diagonal", "plain"),
        ("sporty", "dynamic", "active"),
    ),
    "classic": Style(
        ("brown", "green", "blue", "white"),
        ("checked", "plain", "striped"),
        ("classic", "timeless", "heritage"),
    ),
    "playful": Style(
        ("pink", "yellow", "purple", "teal"),
        ("dotted", "zigzag", "checked"),
        ("playful", "cheerful", "fun"),
    ),
}

BRANDS = (
    "Norvik", "Lumara", "Tessel", "Okoro", "Brightwell", "Hakune", "Velmont", "Zentra",
    "Ostrava", "Pellico", "Quillon", "Marlowe", "Sundaro", "Fjellby", "Castellan", "Aurelis",
)  # fmt: skip
BRANDS_PER_CATEGORY = 6
VARIANTS = 0.35  # probability that a product is a variant of the last one of its kind

_LINES = (
    "Nova", "Aero", "Pulse", "Terra", "Vista", "Orbit", "Flux", "Haven", "Echo", "Drift", "Ember",
    "Summit",
    "Breeze", "Atlas", "Comet", "Delta", "Harbor", "Indigo", "Juno", "Kite", "Lotus", "Mistral",
    "Nimbus", "Onyx",
    "Prism", "Quartz", "Ridge", "Sierra", "Tempo", "Umbra", "Vertex", "Willow", "Xenon", "Yonder",
    "Zephyr", "Cedar",
)  # fmt: skip
_LINE_ENDS = ("", " Plus", " Pro", " Lite", " 2", " 3", " 5", " 7", " Max", " Mini")


@dataclass(frozen=True)
class Product:
    """One product. Its id is part of the ground truth and appears in no feed.

    Attributes:
        kind: key of ``CATEGORIES``.
        price_level: 0 cheap, 1 middle, 2 expensive, within its category.
        is_new: it enters the shop on the second night.
    """

    product_id: str
    kind: str
    brand: str
    line: str
    code: str
    colour: str
    second_colour: str
    pattern: str
    measure: tuple[str, str]
    material: str
    style: str
    price_level: int
    price: float
    is_new: bool = False

    @property
    def category(self) -> Category:
        return CATEGORIES[self.kind]


def stream(seed: int, *names: object) -> np.random.Generator:
    """Return the random generator of a part of the shop; equal names give equal numbers."""
    return np.random.default_rng(int(token(seed, *names, length=32), 16))


def token(seed: int, *names: object, length: int = 10) -> str:
    """Return ``length`` hex digits: a hash of the names, which cannot be read from it."""
    text = "\x1f".join(str(name) for name in (seed, *names))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """Return one of ``choices`` at random, each as likely as the others."""
    return choices[int(rng.integers(len(choices)))]


def pick_some(rng: np.random.Generator, choices: Sequence[T], count: int) -> list[T]:
    """Return ``count`` of ``choices`` at random, none twice; all where there are fewer."""
    order = rng.permutation(len(choices))[:count]
    return [choices[int(index)] for index in order]


def happens(rng: np.random.Generator, probability: float) -> bool:
    """Return True with the given probability."""
    return bool(rng.random() < probability)


def all_products(seed: int, count: int, *, new: int) -> list[Product]:
    """Return ``count`` products, the last ``new`` of which enter the shop on the second night.

    About a third are variants: brand and line of an earlier product, in another colour and,
    mostly, another size. They make grouping pages hard.
    """
    rng = stream(seed, "products")
    kinds = list(CATEGORIES)
    products: list[Product] = []
    lines: set[str] = set()
    for index in range(count):
        kind = kinds[index % len(kinds)]
        family = _family(products, kind)
        colours = _free_colours(family)
        drawn = (
            _variant(family[-1], colours, rng)
            if colours and happens(rng, VARIANTS)
            else _product(kind, rng, used=lines)
        )
        product = replace(
            drawn,
            product_id=f"product-{index:04d}",
            code=_code(drawn, rng),
            is_new=index >= count - new,
        )
        products.append(product)
    return products


def _family(products: Sequence[Product], kind: str) -> list[Product]:
    """Return the latest product of a kind and those of the same brand and line."""
    of_kind = [product for product in products if product.kind == kind]
    return [
        product
        for product in of_kind
        if (product.brand, product.line) == (of_kind[-1].brand, of_kind[-1].line)
    ]


def _free_colours(family: Sequence[Product]) -> list[str]:
    """Return the colours of the family's style that no product of it has."""
    taken = {product.colour for product in family}
    return [name for name in STYLES[family[0].style].colours if name not in taken] if family else []


def _product(kind: str, rng: np.random.Generator, *, used: set[str]) -> Product:
    category, style = CATEGORIES[kind], pick(rng, list(STYLES))
    first = list(CATEGORIES).index(kind) * 5
    brand = BRANDS[(first + int(rng.integers(BRANDS_PER_CATEGORY))) % len(BRANDS)]
    level = int(rng.integers(3))
    low, high = category.price
    price = low * (high / low) ** (level / 2) * float(rng.uniform(0.8, 1.25))
    colours = STYLES[style].colours
    colour = pick(rng, colours)
    return Product(
        product_id="",
        kind=kind,
        brand=brand,
        line=_line(brand, rng, used=used),
        code="",
        colour=colour,
        second_colour=pick(rng, [name for name in COLOURS if name != colour]),
        pattern=pick(rng, STYLES[style].patterns),
        measure=pick(rng, category.measures),
        material=pick(rng, category.materials),
        style=style,
        price_level=level,
        price=round(price, 2),
    )


def _variant(product: Product, colours: Sequence[str], rng: np.random.Generator) -> Product:
    colour = pick(rng, colours)
    return replace(
        product,
        colour=colour,
        measure=pick(rng, product.category.measures),
        second_colour=pick(rng, [name for name in COLOURS if name != colour]),
        price=round(product.price * float(rng.uniform(0.95, 1.2)), 2),
    )


def _line(brand: str, rng: np.random.Generator, *, used: set[str]) -> str:
    """A name such as "Nova 5" that no other product of the brand has."""
    while True:
        line = pick(rng, _LINES) + pick(rng, _LINE_ENDS)
        if f"{brand} {line}" not in used:
            used.add(f"{brand} {line}")
            return line


def _code(product: Product, rng: np.random.Generator) -> str:
    """A model code such as ``NRV-O4854G``."""
    consonants = [letter for letter in product.brand.upper() if letter not in "AEIOU"]
    number = f"{product.line[0]}{rng.integers(1000, 9999)}{product.colour[0].upper()}"
    return f"{''.join(consonants[:3])}-{number}"
