"""Blocking, comparison and scoring on small catalogues."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from spark_jobs.spu.blocking import candidate_pairs, with_pairs
from spark_jobs.spu.comparison import gap_to_next, pair_features
from spark_jobs.spu.scoring import Candidates, pair_scores, prior_scores, pseudo_labels
from spark_jobs.spu.token_matrices import Catalogue, catalogue, idf, incidence

_TITLES = (
    "Acme phone X2000 64GB black",
    "acme x2000 phone 64 gb",
    "Acme phone X3000 64GB black",
    "Acme phone X2000 128GB silver",
    "Borealis toaster BT-44105",
)


def _pages(titles: Sequence[str] = _TITLES, **columns: Sequence[object]) -> pd.DataFrame:
    n = len(titles)
    rest = {name: [None] * n for name in ("text", "brand", "category", "attributes")}
    sources = [f"shop{row}" for row in range(n)]
    return pd.DataFrame(
        {"title": list(titles), "source": sources, "price": [np.nan] * n, **rest, **columns}
    )


def _features(items: Catalogue, left: int, right: int) -> pd.Series:
    return pair_features(items, np.array([left]), np.array([right])).iloc[0]


def _pair_set(pairs: tuple[np.ndarray, np.ndarray]) -> set[tuple[int, int]]:
    return set(zip(pairs[0].tolist(), pairs[1].tolist(), strict=True))


def test_incidence_and_idf_count_rows() -> None:
    matrix, vocabulary = incidence([["b", "a", "a"], ["b"], []])

    assert vocabulary == ["a", "b"]
    assert matrix.toarray().tolist() == [[1, 1], [0, 1], [0, 0]]
    assert idf(matrix) == pytest.approx([np.log(4 / 2) + 1, np.log(4 / 3) + 1])


def test_candidate_pairs_share_a_key_and_occur_once_with_the_smaller_row_left() -> None:
    row_l, row_r = candidate_pairs(catalogue(_pages()), 10)

    pairs = _pair_set((row_l, row_r))
    assert (0, 1) in pairs
    assert all(left < right for left, right in pairs)
    assert len(pairs) == len(row_l)
    assert not any(4 in pair for pair in pairs)


def test_candidate_pairs_drops_blocks_over_the_limit() -> None:
    items = catalogue(_pages(["same words here"] * 6))

    assert len(candidate_pairs(items, 6)[0]) == 15
    assert len(candidate_pairs(items, 5)[0]) == 0


def test_candidate_pairs_bounds_the_candidates_of_an_item() -> None:
    items = catalogue(_pages([f"same words {n}" for n in range(30)]))

    row_l, _ = candidate_pairs(items, 100, per_item=2)

    assert 30 <= len(row_l) <= 60


def test_candidate_pairs_leaves_out_two_items_of_an_exclusive_source() -> None:
    pages = _pages(source=["shop", "shop", "other", "other", "third"])

    assert (0, 1) in _pair_set(candidate_pairs(catalogue(pages), 10))
    assert (0, 1) not in _pair_set(candidate_pairs(catalogue(pages, ["shop"]), 10))
    assert (2, 3) in _pair_set(candidate_pairs(catalogue(pages, ["shop"]), 10))
    assert (2, 3) not in _pair_set(candidate_pairs(catalogue(pages, ["*"]), 10))


def test_with_pairs_is_a_union_in_order() -> None:
    union = with_pairs((np.array([0]), np.array([2])), [np.array([2, 1]), np.array([0, 0])], 3)

    assert [side.tolist() for side in union] == [[0, 0], [1, 2]]


def test_pair_features_distinguish_equal_and_conflicting_codes_and_measures() -> None:
    items = catalogue(_pages())
    same, other_code, other_size = (_features(items, 0, row) for row in (1, 2, 3))

    assert same["code_equal"] > 0
    assert (same["code_conflict"], same["measure_conflict"], same["measure_agree"]) == (0, 0, 1)
    assert other_code["code_conflict"] == 1
    assert other_size["measure_conflict"] == 1
    assert other_size["colour_conflict"] == 1


def test_pair_features_are_symmetric() -> None:
    items = catalogue(
        _pages(price=[1.0, 2.0, np.nan, 4.0, 5.0], brand=["Acme", "acme", "Bo", None, "Bo"])
    )
    row_l, row_r = np.triu_indices(5, 1)

    pd.testing.assert_frame_equal(
        pair_features(items, row_l, row_r), pair_features(items, row_r, row_l)
    )


def test_a_code_within_another_and_in_a_description_is_a_feature() -> None:
    titles = ["tv UE55NU8000", "tv UE55NU8000TXXU", "samsung television"]
    items = catalogue(_pages(titles, text=[None, None, "this is the UE55NU8000"]))

    assert _features(items, 0, 1)["code_contained"] == 1
    assert _features(items, 0, 1)["code_conflict"] == 0
    assert _features(items, 0, 2)["code_in_text"] > 0


def test_colour_words_weigh_a_tenth() -> None:
    items = catalogue(_pages(["thing black", "thing round"]))

    weights = items.words[0].toarray().ravel(), items.words[1].toarray().ravel()

    assert weights[0][weights[0] > 0].min() == pytest.approx(weights[1].max() / 10)


def test_gap_is_to_the_best_rival_of_the_same_exclusive_source() -> None:
    pages = _pages(_TITLES[:4], source=["a", "b", "b", "c"])
    row_l, row_r, scores = np.array([0, 0, 0]), np.array([1, 2, 3]), np.array([0.9, 0.6, 0.7])

    gaps = gap_to_next(catalogue(pages, ["b"]), row_l, row_r, scores)

    assert gaps == pytest.approx([0.3, -0.3, 1.0])


def test_prior_ranks_the_same_product_over_other_products() -> None:
    items = catalogue(_pages())
    row_l, row_r = np.array([0, 0, 0, 0]), np.array([1, 2, 3, 4])

    scores = prior_scores(pair_features(items, row_l, row_r))

    assert scores[0] == scores.max()
    assert scores[3] < 0.05


def test_self_training_separates_products_that_differ_in_one_code() -> None:
    titles = [
        f"maker{n % 7} gadget zx{n}0{n}4 {shape}" for n in range(40) for shape in ("a", "b c")
    ]
    items = catalogue(_pages(titles))
    row_l, row_r = candidate_pairs(items, 50)
    candidates = Candidates(items, row_l, row_r, pair_features(items, row_l, row_r))

    scores = pair_scores(candidates, 2)

    same = row_l // 2 == row_r // 2
    assert same.sum() == 40
    assert scores[same].min() > scores[~same].max()
    assert (scores == pair_scores(candidates, 2)).all()


def test_pairs_across_clusters_without_low_score_or_rival_are_not_learned() -> None:
    items = catalogue(_pages(_TITLES[:4]))
    row_l, row_r = np.array([0, 0, 2]), np.array([1, 2, 3])
    candidates = Candidates(items, row_l, row_r, pair_features(items, row_l, row_r))

    labels, used = pseudo_labels(
        candidates, np.array([0.9, 0.3, 0.3]), np.array([0, 0, 2, 3]), cut=0.5
    )

    assert labels.tolist() == [True, False, False]
    # Row 0 has its partner, so the pair (0, 2) is a non-match; rows 2 and 3 might still be one
    # product.
    assert used.tolist() == [True, True, False]
