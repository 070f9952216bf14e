"""Token matrices: the standardized items of one night as sparse matrices, one row an item.

Scale: all matrices are in the memory of one machine. For a catalogue that does not fit, rows of the
matrices become Spark rows of tokens and weights, and their products joins on the token.

Shape suffixes: N items, V words of a vocabulary, M pairs.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from spark_jobs.spu.code_attributes import code_attributes
from spark_jobs.spu.standardization import Record, brand_vocabulary, record, unit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# A code of more items than this is of a series or a standard ("h264"), not of a product.
_MAX_CODE_FREQUENCY = 60
_SHORTEST_STEM = 5


@dataclass(frozen=True)
class Catalogue:
    """N standardized items as matrices and arrays.

    Attributes:
        records: [N] in the order of the rows.
        words: [N, V] idf of each word of the title; colour words at a tenth.
        codes: [N, V] idf of identifying codes.
        aliases: [N, V] idf of all readings as codes, same columns as ``codes``.
        stems: [N, V] 1 for each beginning and end of an identifying code, itself included.
        stem_codes: [N, V] 1 for each rare reading as a code, same columns as ``stems``.
        described: [N, V] 1 for each part of the description, same columns as ``codes``.
        measures, numbers, colours: [N, V] idf or 1 of those parts of the title.
        units: [V of measures, units] 1 where a measure has the unit.
        grams: [N, V] character trigrams of the title, rows of norm 1.
        texts: [N, V] words of title and description, rows of norm 1.
        brands, categories: [N] codes, -1 where unknown.
        price: [N], NaN where unknown.
        source: [N] codes of the sources.
        exclusive: [N] True where the source lists a product at most once.
    """

    records: Sequence[Record]
    words: sparse.csr_matrix
    codes: sparse.csr_matrix
    aliases: sparse.csr_matrix
    stems: sparse.csr_matrix
    stem_codes: sparse.csr_matrix
    described: sparse.csr_matrix
    measures: sparse.csr_matrix
    units: sparse.csr_matrix
    numbers: sparse.csr_matrix
    colours: sparse.csr_matrix
    grams: sparse.csr_matrix
    texts: sparse.csr_matrix
    brands: Ints
    categories: Ints
    price: Floats
    source: Ints
    exclusive: NDArray[np.bool_]


_READ = ("title", "text", "brand", "attributes")
_IDENTIFIERS = ("gtin", "mpn")


def catalogue(items: pd.DataFrame, exclusive_sources: Sequence[str] = ()) -> Catalogue:
    """Standardize items and build their matrices.

    Args:
        items: source, title, text, brand, category, attributes, price; one row an item. gtin and
            mpn where the feeds have identifiers.
        exclusive_sources: sources that list a product at most once; ``*`` is all of them.
    """
    vocabulary = brand_vocabulary(list(items["brand"]), list(items["title"]))
    coded = code_attributes(items)
    identified = items.reindex(columns=[*_READ, *_IDENTIFIERS])
    records = [
        record(
            title,
            text,
            brand=brand,
            attributes=attributes,
            identifiers=codes,
            brands=vocabulary,
            code_attributes=coded,
        )
        for title, text, brand, attributes, *codes in identified.itertuples(index=False)
    ]
    return Catalogue(
        records=records,
        **_token_matrices(records),
        **_code_matrices(records),
        grams=_unit_rows(_weighted(*incidence([_trigrams(r) for r in records]))),
        brands=_labels([r.brand for r in records]),
        categories=_labels([str(c or "").casefold() for c in items["category"]]),
        price=items["price"].to_numpy(dtype=float),
        source=_labels(items["source"]),
        exclusive=_is_exclusive(items["source"], exclusive_sources),
    )


def exclusive_numbers(items: pd.DataFrame, exclusive_sources: Sequence[str]) -> Ints:
    """Return [N] the item's source where that lists a product at most once, or else -1."""
    return np.where(_is_exclusive(items["source"], exclusive_sources), _labels(items["source"]), -1)


def _is_exclusive(sources: pd.Series, exclusive_sources: Sequence[str]) -> NDArray[np.bool_]:
    everything = "*" in exclusive_sources
    return np.array([everything or name in exclusive_sources for name in sources], dtype=bool)


def incidence(sets: Sequence[Iterable[str]]) -> tuple[sparse.csr_matrix, list[str]]:
    """Return [N, V] ones and the vocabulary, sorted so that sums are reproducible."""
    rows = [frozenset(tokens) for tokens in sets]
    seen: defaultdict[str, int] = defaultdict()
    seen.default_factory = seen.__len__
    met = np.array([seen[token] for row in rows for token in row], dtype=np.int32)
    vocabulary = sorted(seen)
    column = np.empty(len(vocabulary), dtype=np.int32)
    column[[seen[token] for token in vocabulary]] = np.arange(len(vocabulary))
    pointers = np.cumsum([0, *map(len, rows)])
    shape = len(rows), len(vocabulary)
    matrix = sparse.csr_matrix((np.ones(len(met)), column[met], pointers), shape)
    matrix.sort_indices()
    return matrix, vocabulary


def frequencies(matrix: sparse.csr_matrix) -> Ints:
    """Return how many rows have each column."""
    return np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.int64)


def idf(matrix: sparse.csr_matrix) -> Floats:
    """Return log((1 + N) / (1 + frequency)) + 1 of each column."""
    rows = matrix.shape[0]
    return np.asarray(np.log((1 + rows) / (1.0 + frequencies(matrix))) + 1)


def _weighted(matrix: sparse.csr_matrix, vocabulary: Sequence[str]) -> sparse.csr_matrix:
    return _scaled(matrix, idf(matrix))


def _scaled(matrix: sparse.csr_matrix, weights: Floats) -> sparse.csr_matrix:
    return sparse.csr_matrix(matrix @ sparse.diags(weights))


def _unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags(1 / np.where(norms > 0, norms, 1)) @ matrix)


def _token_matrices(records: Sequence[Record]) -> dict[str, sparse.csr_matrix]:
    words, vocabulary = incidence([r.words for r in records])
    colours = frozenset(colour for r in records for colour in r.colours)
    discount = np.array([0.1 if word in colours else 1.0 for word in vocabulary])
    measures, values = incidence([r.measures for r in records])
    units, _ = incidence([[unit(value)] for value in values])
    return {
        "words": _scaled(words, idf(words) * discount),
        "measures": measures,
        "units": units,
        "numbers": _weighted(*incidence([r.numbers for r in records])),
        "colours": incidence([r.colours for r in records])[0],
        "texts": _unit_rows(_weighted(*incidence([r.text_words.union(r.words) for r in records]))),
    }


def _code_matrices(records: Sequence[Record]) -> dict[str, sparse.csr_matrix]:
    n = len(records)
    readings = [r.aliases for r in records]
    known = frozenset(reading for row in readings for reading in row)
    described = [r.text_words & known for r in records]
    stacked, vocabulary = incidence([*readings, *described])
    aliases, in_text = stacked[:n], stacked[n:]
    weights = idf(aliases)
    identifying = frozenset(
        np.array(vocabulary, dtype=object)[frequencies(aliases) <= _MAX_CODE_FREQUENCY]
    )
    own = [r.codes & identifying for r in records]
    codes = _in_columns(own, vocabulary)
    readable = [r.aliases & identifying for r in records]
    stacked_stems, _ = incidence([*[_stems(row) for row in own], *readable])
    return {
        "codes": _scaled(codes, weights),
        "aliases": _scaled(aliases, weights),
        "described": in_text,
        "stems": stacked_stems[:n],
        "stem_codes": stacked_stems[n:],
    }


def _in_columns(sets: Sequence[Iterable[str]], vocabulary: Sequence[str]) -> sparse.csr_matrix:
    # One more row that has every word makes the columns those of the vocabulary.
    return incidence([*sets, vocabulary])[0][: len(sets)]


def _stems(codes: Iterable[str]) -> set[str]:
    beginnings = {code[:end] for code in codes for end in range(_SHORTEST_STEM, len(code) + 1)}
    ends = {code[start:] for code in codes for start in range(len(code) - _SHORTEST_STEM + 1)}
    return beginnings | ends


def _trigrams(item: Record) -> set[str]:
    text = f" {' '.join(item.words)} "
    return {text[start : start + 3] for start in range(len(text) - 2)}


def _labels(values: Iterable[str]) -> Ints:
    codes, _ = pd.factorize(pd.Series(list(values), dtype=object).replace("", None), sort=True)
    return np.asarray(codes, dtype=np.int64)
