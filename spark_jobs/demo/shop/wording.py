"""Wording: titles and texts that merchants write about a product, and transcripts of speech."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spark_jobs.demo.shop.products import COLOURS, STYLES, Product, happens, pick, pick_some


@dataclass(frozen=True)
class Merchant:
    """A merchant that lists pages, and its style of writing.

    Attributes:
        title: template of titles.
        case: how titles are written: ``as_is``, ``lower`` or ``upper``.
        unit: template of a measure.
        colour_name: the merchant's name of the attribute.
    """

    name: str
    title: str
    case: str = "as_is"
    unit: str = "{number} {unit}"
    colour_name: str = "colour"


MERCHANTS: Sequence[Merchant] = (
    Merchant("alphamart", "{brand} {line} {noun} {measure} {colour} {code}"),
    Merchant(
        "budgetbox",
        "{noun} {brand} {line} {colour}, {measure}",
        case="lower",
        unit="{number}{unit}",
    ),
    Merchant("cornershop", "{brand} {line} - {colour} - {measure} ({code})", colour_name="color"),
    Merchant("dealhaven", "{promo} {brand} {line} {measure} {noun} {colour} | {offer}"),
    Merchant(
        "eastgate",
        "{brand} {noun} {line} {measure} {code}",
        case="upper",
        unit="{number}{unit}",
        colour_name="color",
    ),
    Merchant(
        "fairwind",
        "{style} {noun} {line} by {brand}, {pattern} {material}, {colour} {measure}",
    ),
)

_PROMOS = ("NEW!", "SALE", "Top deal:", "Original", "Hot offer:", "")
_OFFERS = ("Free shipping", "2 years warranty", "Best price", "In stock", "Fast delivery")
_FILLERS = ("um", "you know", "so", "like", "right", "okay", "honestly", "basically")
_OPENINGS = (
    "hi everyone welcome back today i am showing you", "okay so let us look at", "have you seen",
    "this just came in it is", "my favourite this week is", "unboxing today",
)  # fmt: skip
_CLOSINGS = (
    "link is below", "tell me what you think", "it is really worth it",
    "use the code for ten percent off",
    "thanks for watching", "only a few left",
)  # fmt: skip
# Speakers seldom use a product's whole name.
_NAMINGS = (
    "the {brand} {line} {short}",
    "the {line}",
    "this {brand} {short}",
    "this {brand} {short}",
    "this {short}",
    "this {short}",
)
_CAPTIONS = (
    "Unboxing the {brand} {line}",
    "My new {colour} {short}",
    "{short} review",
    "You need this {short}!",
    "{brand} haul",
    "Is this {short} worth it?",
    "Look what came in the mail",
)


def page_title(product: Product, merchant: Merchant, rng: np.random.Generator) -> str:
    """Return a title in the merchant's style: words left out, abbreviated or misspelt."""
    words = _words(product, merchant.unit, rng)
    dropped = {
        "colour": 0.12,
        "measure": 0.1,
        "code": 0.35,
        "brand": 0.06,
        "noun": 0.1,
        "material": 0.3,
    }
    for name, probability in dropped.items():
        if happens(rng, probability):
            words[name] = ""
    if not words["brand"]:
        words["code"] = product.code  # without brand and code, products could not be told apart
    title = _tidy(merchant.title.format(**words))
    if happens(rng, 0.07):
        title = misspelt(title, rng)
    return {"lower": title.lower(), "upper": title.upper()}.get(merchant.case, title)


def page_text(product: Product, rng: np.random.Generator) -> str | None:
    """Return a description; some pages have none."""
    if happens(rng, 0.15):
        return None
    words = _words(product, "{number} {unit}", rng)
    sentences = [
        f"{words['style'].capitalize()} {product.category.noun} from {product.brand}.",
        f"Made of {product.material}, {words['colour']} with {product.second_colour} details.",
        f"{words['pattern'].capitalize()} finish, {product.category.measure} {words['measure']}.",
        f"Model {product.code}.",
    ]
    return " ".join(pick_some(rng, sentences, int(rng.integers(2, 5))))


def page_brand(product: Product, rng: np.random.Generator) -> str | None:
    """Return one of the brand's spellings, or None."""
    name = product.brand
    spellings = [
        name,
        name,
        name,
        name,
        name.upper(),
        f"{name} Co.",
        f"{name[:3]}-{name[3:]}",
        None,
    ]
    return pick(rng, spellings)


def page_attributes(
    product: Product, merchant: Merchant, rng: np.random.Generator
) -> dict[str, str]:
    """Return attributes under the merchant's names; each is sometimes missing."""
    number, unit = product.measure
    attributes = {
        merchant.colour_name: _colour(product, rng),
        product.category.measure: merchant.unit.format(number=number, unit=unit).strip(),
        "material": product.material,
        "pattern": product.pattern,
        "model": product.code,
    }
    missing = {"model": 0.6, "pattern": 0.3}
    return {
        name: value
        for name, value in attributes.items()
        if not happens(rng, missing.get(name, 0.12))
    }


def video_title(product: Product, rng: np.random.Generator) -> str:
    """Return the caption of a short video."""
    return pick(rng, _CAPTIONS).format(**_words(product, "{number} {unit}", rng))


def spoken(product: Product, rng: np.random.Generator) -> str:
    """Return a transcript of speech about a product: lower case, fillers, some words wrong."""
    words = _words(product, "{number} {unit}", rng)
    about = [
        pick(rng, _NAMINGS).format(**words),
        f"in {words['colour']} with {product.second_colour}",
        f"it is {words['pattern']} and made of {product.material}",
        f"very {words['style']}",
        f"{product.category.measure} is {words['measure']}",
    ]
    kept = [about[0], *pick_some(rng, about[1:], int(rng.integers(1, 4)))]
    sentence = f"{pick(rng, _OPENINGS)} {' '.join(kept)} {pick(rng, _CLOSINGS)}"
    return " ".join(_misheard(word, rng) for word in sentence.lower().split())


def misspelt(text: str, rng: np.random.Generator) -> str:
    """Return the text with two neighbouring letters of one word swapped."""
    words = text.split()
    long = [index for index, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if not long:
        return text
    index = pick(rng, long)
    word, cut = words[index], int(rng.integers(1, len(words[index]) - 2))
    words[index] = word[:cut] + word[cut + 1] + word[cut] + word[cut + 2 :]
    return " ".join(words)


def _words(product: Product, unit: str, rng: np.random.Generator) -> dict[str, str]:
    number, measured_in = product.measure
    category = product.category
    return {
        "brand": product.brand,
        "line": product.line,
        "noun": category.noun if happens(rng, 0.7) else category.short,
        "short": category.short,
        "measure": unit.format(number=number, unit=measured_in).strip(),
        "colour": _colour(product, rng),
        "code": product.code if happens(rng, 0.8) else product.code.replace("-", ""),
        "pattern": product.pattern,
        "material": product.material,
        "style": pick(rng, STYLES[product.style].words),
        "promo": pick(rng, _PROMOS),
        "offer": pick(rng, _OFFERS),
    }


def _colour(product: Product, rng: np.random.Generator) -> str:
    others: Mapping[str, Sequence[str]] = {name: words for name, (_, words) in COLOURS.items()}
    return product.colour if happens(rng, 0.65) else pick(rng, others[product.colour])


def _misheard(word: str, rng: np.random.Generator) -> str:
    chance = float(rng.random())
    if chance < 0.06:
        return f"{pick(rng, _FILLERS)} {word}"
    if chance < 0.16:
        return misspelt(word, rng)
    return word


def _tidy(title: str) -> str:
    """Remove traces of left-out words: empty brackets, doubled marks and spaces."""
    for rest in ("()", "- -", ", ,"):
        title = title.replace(rest, rest[0] if rest != "()" else "")
    return " ".join(title.split()).replace(" ,", ",").strip(" -,|")
