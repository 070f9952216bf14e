"""Attributes that hold codes of products, found by their values: shops name them as they like."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import chain

import pandas as pd

from spark_jobs.spu.standardization import (
    code_aliases,
    code_of_value,
    has_code_name,
    model_codes,
    standardized,
)

# Fewer values do not tell a code from anything else that has letters and digits. Of a real column
# (modelno of Walmart-Amazon) .79 of the values look like codes, .99 are different, and .09 come up
# in the other source.
_LEAST_VALUES = 20
_LEAST_CODES = 0.6
# A code is of one product, and a source has it about as often as it has variants of that.
_LEAST_DISTINCT = 0.5
# A merchant's own numbers come up nowhere else, and say nothing about other merchants' pages.
_LEAST_SHARED, _LEAST_SHARED_CODES = 0.02, 10
# Shorter numbers may be counts, which come up anywhere by chance.
_LEAST_DIGITS = 8

_Coded = tuple[str, str]  # source, code


def code_attributes(items: pd.DataFrame) -> frozenset[str]:
    """Return the attributes whose values are codes that several sources share.

    Args:
        items: source, title and attributes, one row an item; mpn where the feeds have it.
    """
    found = _coded(items)
    if not found:
        return frozenset()
    known: dict[str, set[str]] = defaultdict(set)
    for source, code in chain(_in_titles(items), _named(items), *found.values()):
        known[code].add(source)

    def is_shared(pair: _Coded) -> bool:
        return bool(known[pair[1]] - {pair[0]})

    shared = {name: sum(map(is_shared, pairs)) for name, pairs in found.items()}
    return frozenset(
        name
        for name, pairs in found.items()
        if shared[name] >= max(_LEAST_SHARED_CODES, _LEAST_SHARED * len(pairs))
    )


def _coded(items: pd.DataFrame) -> dict[str, set[_Coded]]:
    """Return the codes of each attribute that has mostly codes, mostly different ones."""
    values: dict[str, list[_Coded]] = defaultdict(list)
    for source, attributes in zip(items["source"], items["attributes"], strict=True):
        for name, value in _filled(attributes):
            if not has_code_name(name):  # of others the name says it
                values[name].append((source, _code(value)))
    found = {}
    for name, pairs in values.items():
        codes = [pair for pair in pairs if pair[1]]
        distinct = set(codes)
        is_coded = len(pairs) >= _LEAST_VALUES and len(codes) >= _LEAST_CODES * len(pairs)
        if is_coded and len(distinct) >= _LEAST_DISTINCT * len(codes):
            found[name] = distinct
    return found


def _code(value: str) -> str:
    code = code_of_value(value)
    return "" if code.isdecimal() and len(code) < _LEAST_DIGITS else code


def _filled(attributes: Mapping[str, str] | None) -> list[tuple[str, str]]:
    return [(name, value) for name, value in attributes.items() if value] if attributes else []


def _named(items: pd.DataFrame) -> Iterator[_Coded]:
    """Yield the values of what is called a code."""
    columns = items.reindex(columns=["source", "mpn", "attributes"]).itertuples(index=False)
    for source, mpn, attributes in columns:
        named = [value for name, value in _filled(attributes) if has_code_name(name)]
        for value in (*named, *([mpn] if isinstance(mpn, str) else [])):
            yield source, code_of_value(value)


def _in_titles(items: pd.DataFrame) -> Iterator[_Coded]:
    for source, title in zip(items["source"], items["title"], strict=True):
        spelled = standardized(title)
        for code in model_codes(spelled) | code_aliases(spelled):
            yield source, code
