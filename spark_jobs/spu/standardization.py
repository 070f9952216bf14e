"""Standardization: words, codes, measures and brand of an item's text, in one spelling.

``Record`` is the standardized item that blocking and comparison read.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

# Unit as written -> (standard unit, factor).
_UNITS: Mapping[str, tuple[str, float]] = {
    **{u: (u, 1.0) for u in ("mb", "gb", "in", "mm", "g", "mg", "ml", "w", "hz", "mhz")},
    **{u: (u, 1.0) for u in ("rpm", "mp", "mah", "fps", "oz", "lb", "ft", "pk")},
    **{u: ("in", 1.0) for u in ("inch", "inches", '"', "''", "zoll")},
    **{u: ("mp", 1.0) for u in ("megapixel", "megapixels", "mpix", "mpixel")},
    **{u: ("pk", 1.0) for u in ("pack", "pcs", "pieces", "pc")},
    **{"tb": ("gb", 1000.0), "kg": ("g", 1000.0), "l": ("ml", 1000.0), "litre": ("ml", 1000.0)},
    **{"litres": ("ml", 1000.0), "liter": ("ml", 1000.0), "cl": ("ml", 10.0), "cm": ("mm", 10.0)},
    **{"kw": ("w", 1000.0), "ghz": ("mhz", 1000.0), "khz": ("mhz", 0.001), "watt": ("w", 1.0)},
    **{"watts": ("w", 1.0), "lbs": ("lb", 1.0), "gram": ("g", 1.0)},
}
# "5 in 1" is not a measure, "5in" and "5-in" are.
_TOUCHING = ("in",)
_MOBILE_NETWORKS = ("2g", "3g", "4g", "5g")
_BY_LENGTH = sorted(_UNITS, key=lambda unit: (-len(unit), unit))
_MEASURE = re.compile(
    r"(?<![\w.])(\d+(?:\.\d+)?)(\s?-?\s?)("
    + "|".join(re.escape(unit) for unit in _BY_LENGTH)
    + r")(?![^\W_])"
)
_IS_MEASURE = re.compile(
    r"(\d+(?:\.\d+)?)(" + "|".join(sorted({u for u, _ in _UNITS.values()}, key=len)[::-1]) + ")"
)
_PART = re.compile(r"\d+\.\d+[^\W_]*|[^\W_]+")
_SPELLINGS = (
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),
    (re.compile(r"(?<=\d),(?=\d{1,2}(?!\d))"), "."),
    (re.compile(r"(?<=[^\W_])\+(?=\s|$)"), " plus"),
)
_CODE_ATTRIBUTES = re.compile(r"model|mpn|part|sku|ean|gtin|upc|isbn|code")
# Sizes and dates: digits enough for a code.
_DIMENSIONS = re.compile(r"\d+([x\u00d7./-]+\d+)+\D*")
_COLOUR_WORDS = """
    black white silver grey gray gold golden red blue green
    yellow orange purple pink brown beige cream ivory turquoise violet
    magenta cyan bronze copper champagne navy teal schwarz weiss silber
    gelb rot blau grau noir blanc rouge bleu anthracite graphite
    charcoal titanium rose spacegrau spacegrey midnight lilac burgundy maroon lavender
    mint
"""
COLOURS = frozenset(_COLOUR_WORDS.split())
_LEGAL_FORMS = frozenset(("co", "corp", "inc", "llc", "ltd", "gmbh", "ag", "company"))
_MAX_CODE = 20
# The same words recur throughout a catalogue.
_cached = lru_cache(maxsize=2**17)


@dataclass(frozen=True)
class Record:
    """Standardized text of an item.

    Attributes:
        words: all parts of the title, in order.
        codes: model codes, letters and digits without punctuation.
        aliases: other readings of codes: neighbouring parts joined, parts of a longer code.
        measures: numbers with a unit, in the standard unit, such as ``64gb``.
        numbers: plain numbers and short mixes such as ``s8``: generations, sizes without a unit.
        text_words: parts of description and attributes, codes with and without punctuation.
        brand: empty where unknown.
    """

    words: tuple[str, ...]
    codes: frozenset[str] = frozenset()
    aliases: frozenset[str] = frozenset()
    measures: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    colours: frozenset[str] = frozenset()
    text_words: frozenset[str] = frozenset()
    brand: str = ""


def standardized(text: str) -> str:
    """Return text in one spelling: Unicode, case, decimal marks, units."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = text.replace("\u201d", '"').replace("\u2033", '"').replace("\u2019", "'")
    for written, spelled in _SPELLINGS:
        text = written.sub(spelled, text)
    return _MEASURE.sub(_measure, text)


def _measure(match: re.Match[str]) -> str:
    number, gap, written = match.groups()
    together = number + written
    if together in _MOBILE_NETWORKS or (gap and written in _TOUCHING and "-" not in gap):
        return match.group()
    unit, factor = _UNITS[written]
    return f"{float(number) * factor:g}{unit} "


def parts(text: str) -> list[str]:
    """Return the words, numbers and measures of standardized text, in order."""
    return [_plain_number(part) for part in _PART.findall(text)]


def _plain_number(part: str) -> str:
    return part.rstrip("0").rstrip(".") if "." in part and part[-1].isdecimal() else part


@_cached
def is_measure(part: str) -> bool:
    """Return True for a number with its unit, such as ``64gb``."""
    return _IS_MEASURE.fullmatch(part) is not None


def unit(measure: str) -> str:
    """Return the unit of a measure: ``gb`` of ``64gb``."""
    return measure.lstrip("0123456789.e+-")


def model_codes(text: str) -> frozenset[str]:
    """Return the codes of standardized text: letters mixed with digits, or five digits and more."""
    codes = (_code(chunk) for chunk in text.split())
    return frozenset(code for code in codes if code)


@_cached
def _code(chunk: str) -> str:
    found = parts(chunk)
    if any(is_measure(part) for part in found):
        return ""
    code = "".join(part for part in found if "." not in part)
    digits = sum(character.isdigit() for character in code)
    mixed = digits >= 2 and len(code) > max(digits, 3)
    return code if len(code) <= _MAX_CODE and (mixed or digits >= 5) else ""


def code_of_value(value: str) -> str:
    """Return the code that an attribute's value is as a whole; empty where it is none."""
    spelled = standardized(value).strip().replace(" ", "-")
    return "" if _DIMENSIONS.fullmatch(spelled) else _code(spelled)


def has_code_name(attribute: str) -> bool:
    """Return whether an attribute is called what codes are called in English."""
    return _CODE_ATTRIBUTES.search(attribute.casefold()) is not None


def code_aliases(text: str) -> frozenset[str]:
    """Return other readings of standardized text as codes: ``icn 3356`` as ``icn3356``."""
    found = [part for part in parts(text) if "." not in part and not is_measure(part)]
    aliases = {
        "".join(found[start : start + length])
        for at in (at for at, part in enumerate(found) if _has_digit(part))
        for length in (1, 2, 3)
        for start in range(max(0, at - length + 1), min(at, len(found) - length) + 1)
    }
    return frozenset(
        alias for alias in aliases if 4 <= len(alias) <= _MAX_CODE and not is_measure(alias)
    )


def brand_vocabulary(brands: Sequence[str | None], titles: Sequence[str]) -> frozenset[str]:
    """Return a feed's brands: those of its brand column, or words that open many of its titles.

    Args:
        brands: the brand column as it is in the feed.
        titles: used where that column is empty. A word is a brand where it is the first word of 10
            titles or more, and of a third of the titles that have it.
    """
    named = {" ".join(parts(standardized(brand))) for brand in {*brands} if brand}
    if named - {""}:
        return frozenset(named - {""})
    split = [parts(standardized(title)) for title in titles]
    opening = Counter(words[0] for words in split if words)
    anywhere = Counter(word for words in split for word in set(words))
    return frozenset(
        word
        for word, n in opening.items()
        if n >= 10 and 3 * n >= anywhere[word] and word.isalpha() and word not in COLOURS
    )


def brand_in(words: Sequence[str], vocabulary: Collection[str]) -> str:
    """Return the first, and there the longest, brand that the words name; empty if none."""
    for start in range(len(words)):
        for length in (3, 2, 1):
            name = " ".join(words[start : start + length])
            if name in vocabulary:
                return name
    return ""


@_cached
def brand_key(brand: str) -> str:
    """Return a brand in one spelling: ``Da-Lite``, ``Dalite`` and ``DA LITE Inc.`` are one."""
    return "".join(word for word in parts(standardized(brand)) if word not in _LEGAL_FORMS)


def record(
    title: str,
    text: str | None = None,
    *,
    brand: str | None = None,
    attributes: Mapping[str, str] | None = None,
    identifiers: Iterable[object] = (),
    brands: Collection[str] = (),
    code_attributes: Collection[str] = (),
) -> Record:
    """Standardize one item.

    Args:
        identifiers: numbers of the product, such as its GTIN; what is no text is none.
        brands: the feed's brand vocabulary, for items whose brand column is empty.
        code_attributes: attributes whose values are codes, besides those called so.
    """
    spelled = standardized(title)
    words = tuple(parts(spelled))
    attributes = attributes or {}
    named = [
        value
        for name, value in sorted(attributes.items())
        if has_code_name(name) or name in code_attributes
    ]
    # In a text a GTIN stands without the zeros before it.
    numbers = [number.lstrip("0") for number in identifiers if isinstance(number, str)]
    code_values = " ".join(
        standardized(value).replace(" ", "-") for value in (*named, *numbers) if value
    )
    described = standardized(
        " ".join([text or "", *(v for _, v in sorted(attributes.items()) if v)])
    )
    codes = model_codes(spelled) | model_codes(code_values)
    return Record(
        words=words,
        codes=codes,
        aliases=code_aliases(spelled) | codes,
        measures=frozenset(word for word in words if is_measure(word)),
        numbers=frozenset(word for word in words if _is_number(word)),
        colours=COLOURS.intersection(words),
        text_words=frozenset(parts(described)) | model_codes(described),
        brand=brand_key(brand or "") or brand_key(brand_in(words, brands)),
    )


@_cached
def _is_number(word: str) -> bool:
    plain = len(word) < 4 or word.replace(".", "").isdigit()
    return plain and _has_digit(word) and not is_measure(word)


@_cached
def _has_digit(part: str) -> bool:
    return any(character.isdigit() for character in part)
