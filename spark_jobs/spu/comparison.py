"""Comparison: features of candidate pairs, computed in chunks from the catalogue's matrices."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import sparse

from spark_jobs.spu.token_matrices import Catalogue, Floats, Ints

_CHUNK = 100_000


def pair_features(items: Catalogue, row_l: Ints, row_r: Ints) -> pd.DataFrame:
    """Return one row a pair, one column a feature; symmetric in left and right."""
    chunks = [
        pd.DataFrame(_chunk_features(items, row_l[at : at + _CHUNK], row_r[at : at + _CHUNK]))
        for at in range(0, max(len(row_l), 1), _CHUNK)
    ]
    return pd.concat(chunks, ignore_index=True)


def _chunk_features(items: Catalogue, row_l: Ints, row_r: Ints) -> Mapping[str, Floats]:
    return {
        **_word_features(items, row_l, row_r),
        **_code_features(items, row_l, row_r),
        **_measure_features(items, row_l, row_r),
        **_agreement_features(items.numbers, "number", row_l, row_r),
        **_column_features(items, row_l, row_r),
        "gram_cosine": _dot(items.grams, items.grams, row_l, row_r),
        "text_cosine": _dot(items.texts, items.texts, row_l, row_r),
    }


def _word_features(items: Catalogue, row_l: Ints, row_r: Ints) -> dict[str, Floats]:
    words_l, words_r = items.words[row_l], items.words[row_r]
    shared = words_l.minimum(words_r)
    total_l, total_r, common = _sum(words_l), _sum(words_r), _sum(shared)
    rest_l, rest_r = _max(words_l - shared), _max(words_r - shared)
    left_l, left_r = total_l - common, total_r - common
    return {
        "word_dice": 2 * common / np.maximum(total_l + total_r, 1e-9),
        "word_containment": common / np.maximum(np.minimum(total_l, total_r), 1e-9),
        "word_shared": common,
        "word_rarest_shared": _max(shared),
        "word_rarest_left_min": np.minimum(rest_l, rest_r),
        "word_rarest_left_max": np.maximum(rest_l, rest_r),
        "word_left_min": np.minimum(left_l, left_r),
        "word_left_max": np.maximum(left_l, left_r),
    }


def _code_features(items: Catalogue, row_l: Ints, row_r: Ints) -> dict[str, Floats]:
    equal = np.maximum(
        _rarest_common(items.codes, items.aliases, row_l, row_r),
        _rarest_common(items.codes, items.aliases, row_r, row_l),
    )
    contained = np.maximum(
        _dot(items.stem_codes, items.stems, row_l, row_r),
        _dot(items.stem_codes, items.stems, row_r, row_l),
    )
    has_l, has_r = (items.codes.getnnz(axis=1)[rows] > 0 for rows in (row_l, row_r))
    in_text = _dot(items.codes, items.described, row_l, row_r)
    in_text += _dot(items.codes, items.described, row_r, row_l)
    alike = (equal > 0) | (contained > 0)
    stems_l, stems_r = items.stems[row_l], items.stems[row_r]
    fewer = np.minimum(stems_l.getnnz(axis=1), stems_r.getnnz(axis=1))
    return {
        "code_equal": equal,
        "code_alias": _rarest_common(items.aliases, items.aliases, row_l, row_r),
        "code_contained": ((contained > 0) & (equal == 0)).astype(float),
        "code_conflict": (has_l & has_r & ~alike).astype(float),
        "code_both": (has_l & has_r).astype(float),
        "code_either": (has_l ^ has_r).astype(float),
        "code_in_text": in_text,
        "code_likeness": _sum(stems_l.multiply(stems_r)) / np.maximum(fewer, 1),
    }


def _measure_features(items: Catalogue, row_l: Ints, row_r: Ints) -> dict[str, Floats]:
    measures_l, measures_r = items.measures[row_l], items.measures[row_r]
    agreeing = ((measures_l.multiply(measures_r)) @ items.units) > 0
    units_l, units_r = (measures_l @ items.units) > 0, (measures_r @ items.units) > 0
    common = units_l.multiply(units_r)
    agree, both = _sum(agreeing), _sum(common)
    return {
        "measure_agree": agree,
        "measure_conflict": both - agree,
        "measure_one_sided": _sum(units_l) + _sum(units_r) - 2 * both,
    }


def _agreement_features(
    matrix: sparse.csr_matrix, name: str, row_l: Ints, row_r: Ints
) -> dict[str, Floats]:
    values_l, values_r = matrix[row_l], matrix[row_r]
    shared = values_l.multiply(values_r).sqrt()
    common = _sum(shared)
    left_l, left_r = _sum(values_l) - common, _sum(values_r) - common
    return {
        f"{name}_agree": common,
        f"{name}_conflict": np.minimum(left_l, left_r),
        f"{name}_one_sided": np.maximum(left_l, left_r),
    }


def _column_features(items: Catalogue, row_l: Ints, row_r: Ints) -> dict[str, Floats]:
    colours_l, colours_r = items.colours[row_l], items.colours[row_r]
    shared = _sum(colours_l.multiply(colours_r))
    conflict = (_sum(colours_l) > 0) & (_sum(colours_r) > 0) & (shared == 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.abs(np.log(items.price[row_l] / items.price[row_r]))
    known = np.isfinite(distance)
    return {
        "colour_conflict": conflict.astype(float),
        "price_distance": np.where(known, np.minimum(distance, 3.0), 0.0),
        "price_known": known.astype(float),
        **_label_features(items.brands, "brand", row_l, row_r),
        **_label_features(items.categories, "category", row_l, row_r),
    }


def _label_features(labels: Ints, name: str, row_l: Ints, row_r: Ints) -> dict[str, Floats]:
    label_l, label_r = labels[row_l], labels[row_r]
    known = (label_l >= 0) & (label_r >= 0)
    return {
        f"{name}_agree": (known & (label_l == label_r)).astype(float),
        f"{name}_conflict": (known & (label_l != label_r)).astype(float),
    }


def gap_to_next(items: Catalogue, row_l: Ints, row_r: Ints, scores: Floats) -> Floats:
    """Return [M] the lead of each pair's score over the best rival of its items; 1 without one.

    Rivals of a pair (l, r) are the other candidates of l in r's source, and of r in l's source,
    where that source lists a product at most once: then at most one of them is right.
    """
    row, other = np.concatenate([row_l, row_r]), np.concatenate([row_r, row_l])
    rival = _best_rival(row, items.source[other], np.concatenate([scores, scores]))
    rival = np.where(items.exclusive[other], rival, -np.inf)
    strongest = np.maximum(rival[: len(row_l)], rival[len(row_l) :])
    return np.minimum(scores - np.where(np.isfinite(strongest), strongest, scores - 1), 1.0)


def _best_rival(row: Ints, source: Ints, scores: Floats) -> Floats:
    """Return [M] the best other score of the same row and source; -inf where there is none."""
    if len(row) == 0:
        return scores
    group = row * (int(source.max()) + 1) + source
    order = np.lexsort((-scores, group))
    ordered, ranked = group[order], scores[order]
    first = np.r_[True, ordered[1:] != ordered[:-1]]
    start = np.flatnonzero(first)[np.cumsum(first) - 1]
    second = np.minimum(start + 1, len(order) - 1)
    has_second = (ordered[second] == ordered) & (second > start)
    best_but_first = np.where(has_second, ranked[second], -np.inf)
    rival = np.empty_like(scores)
    rival[order] = np.where(first, best_but_first, ranked[start])
    return rival


def _dot(left: sparse.csr_matrix, right: sparse.csr_matrix, row_l: Ints, row_r: Ints) -> Floats:
    return _sum(left[row_l].multiply(right[row_r]))


def _rarest_common(
    left: sparse.csr_matrix, right: sparse.csr_matrix, row_l: Ints, row_r: Ints
) -> Floats:
    return np.sqrt(_max(left[row_l].multiply(right[row_r])))


def _sum(matrix: sparse.csr_matrix) -> Floats:
    return np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()


def _max(matrix: sparse.csr_matrix) -> Floats:
    if matrix.shape[1] == 0:
        return np.zeros(matrix.shape[0])
    return np.asarray(matrix.max(axis=1).toarray(), dtype=np.float64).ravel()
