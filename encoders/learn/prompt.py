"""Prompts: the text of an SPU that LEARN's language model encodes.

Standard library only, so that a stage can write and hash prompts without loading a model.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence

MAX_TITLE = 160
MAX_CATEGORY = 80
MAX_BRAND = 40
MAX_KEYWORDS = 6
MAX_ATTRIBUTES = 8
MAX_WORD = 32

# Edges a factor of 2 to 2.5 apart: most price changes stay within a bucket, and leave the prompt,
# hence its hash and its vector, alone.
PRICE_STEPS = (1, 2, 5)

PREPROCESSING: Mapping[str, object] = {
    "prompt": "one clause a field: title, category, brand, price, keywords, attributes; "
    "an absent field leaves its clause out; white space is folded",
    "price": "by its bucket alone: edges at 1, 2, 5 times powers of ten, lower edge included",
    "attributes": "by name, in alphabetical order",
    "max_characters": {
        "title": MAX_TITLE,
        "category": MAX_CATEGORY,
        "brand": MAX_BRAND,
        "word": MAX_WORD,
    },
    "max_keywords": MAX_KEYWORDS,
    "max_attributes": MAX_ATTRIBUTES,
}


def spu_prompt(
    title: str | None,
    category: str | None = None,
    brand: str | None = None,
    price: float | None = None,
    keywords: Sequence[str] | None = None,
    attributes: Mapping[str, str | None] | None = None,
) -> str:
    """Describe an SPU in up to six plain clauses, one a field (LEARN, section 3.2).

    Returns:
        At most about 1,100 characters on one line; empty where every field is absent. Clauses are
        short because a language model costs by the token.
    """
    clauses = (
        _clause("Product {}.", _shortened(title, MAX_TITLE)),
        _clause("In {}.", _shortened(category, MAX_CATEGORY)),
        _clause("By {}.", _shortened(brand, MAX_BRAND)),
        _clause("For {}.", price_bucket(price)),
        _clause("About {}.", _listed(keywords or ())),
        _clause("With {}.", _described(attributes or {})),
    )
    return " ".join(clause for clause in clauses if clause)


def prompt_hash(prompt: str) -> str:
    """Return the SHA-256 of a prompt: its ``content_hash``."""
    return hashlib.sha256(prompt.encode()).hexdigest()


def price_bucket(price: float | None) -> str:
    """Name the bucket of a price, such as ``20 to 50``; empty unless it is positive and finite."""
    if price is None or not math.isfinite(price) or price <= 0:
        return ""
    if price < 1:
        return "less than 1"
    # From the digits, not from a logarithm: log10(1000) is 2.9999999999999996 on some platforms.
    power = 10 ** (len(str(int(price))) - 1)
    edges = [step * power for step in (*PRICE_STEPS, 10)]
    lower = max(edge for edge in edges if edge <= price)
    upper = edges[edges.index(lower) + 1]
    return f"{lower} to {upper}"


def _clause(template: str, value: str) -> str:
    return template.format(value) if value else ""


def _shortened(text: str | None, limit: int) -> str:
    """Fold white space and cut at the last whole word within ``limit`` characters."""
    folded = " ".join((text or "").split())
    if len(folded) <= limit:
        return folded
    whole_words = folded[: limit + 1].rsplit(" ", 1)[0]
    return whole_words[:limit]


def _listed(words: Sequence[str]) -> str:
    shortened = dict.fromkeys(_shortened(word, MAX_WORD) for word in words)
    return ", ".join([word for word in shortened if word][:MAX_KEYWORDS])


def _described(attributes: Mapping[str, str | None]) -> str:
    pairs = (
        (_shortened(name, MAX_WORD), _shortened(value, MAX_WORD))
        for name, value in sorted(attributes.items())
    )
    return ", ".join(
        [f"{name} {value}" for name, value in pairs if name and value][:MAX_ATTRIBUTES]
    )
