"""Canonical records: an SPU's title, brand, category, attributes, keywords and price from pages."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

import pandas as pd

from spark_jobs.spu.standardization import parts, standardized

MOST_KEYWORDS = 8


class CanonicalRecord(TypedDict):
    """The columns of ``spus`` that describe the product."""

    title: str
    brand: str | None
    category: str | None
    attributes: dict[str, str] | None
    keywords: list[str]
    price: float | None


def canonical_record(pages: pd.DataFrame, rarity: Mapping[str, float]) -> CanonicalRecord:
    """Compute the canonical record of one SPU.

    Args:
        pages: title, brand, category, attributes, price; one row a page, sorted by key.
        rarity: idf of words; 0 for a word that is absent.
    """
    titles = list(pages["title"])
    words = [list(dict.fromkeys(parts(standardized(title)))) for title in titles]
    prices = [float(price) for price in pages["price"] if pd.notna(price)]
    return {
        "title": titles[_central(words)],
        "brand": majority(pages["brand"]),
        "category": majority(pages["category"]),
        "attributes": agreed(pages["attributes"]),
        "keywords": keywords(words, rarity),
        "price": statistics.median(prices) if prices else None,
    }


def majority(values: Iterable[str | None]) -> str | None:
    """Return the commonest value, ties to the smallest; None where there is no value."""
    counts = Counter(value for value in values if isinstance(value, str) and value)
    return min(counts, key=lambda value: (-counts[value], value), default=None)


def agreed(attributes: Iterable[Mapping[str, str] | None]) -> dict[str, str] | None:
    """Return the attributes on whose value more than half of the pages that have them agree."""
    counts: dict[str, Counter[str]] = {}
    for page_attributes in attributes:
        for name, value in (page_attributes or {}).items():
            if value:
                counts.setdefault(name, Counter())[value] += 1
    values = {
        name: value
        for name, counted in sorted(counts.items())
        for value, n in counted.items()
        if 2 * n > counted.total()
    }
    return values or None


def keywords(titles: Sequence[Sequence[str]], rarity: Mapping[str, float]) -> list[str]:
    """Return words of at least half of the titles, the rarest first, ties by alphabet."""
    counts = Counter(word for words in titles for word in words)
    common = [word for word, n in counts.items() if 2 * n >= len(titles)]
    common.sort(key=lambda word: (-rarity.get(word, 0.0), word))
    return common[:MOST_KEYWORDS]


def word_rarity(titles: Iterable[str]) -> dict[str, float]:
    """Return the idf of each word of the titles."""
    split = [set(parts(standardized(title))) for title in titles]
    counts = Counter(word for words in split for word in words)
    return {word: math.log((1 + len(split)) / (1 + n)) for word, n in counts.items()}


def _central(titles: Sequence[Sequence[str]]) -> int:
    """Return the index of the title most like the others: many shared words, few of its own."""
    counts = Counter(word for words in titles for word in words)
    likeness = [
        sum(counts[word] for word in words) / math.sqrt(max(len(words), 1)) for words in titles
    ]
    return max(range(len(titles)), key=lambda index: (round(likeness[index], 9), -index))
