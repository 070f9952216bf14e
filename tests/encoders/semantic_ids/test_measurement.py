import numpy as np
import pytest

from encoders.semantic_ids.codebooks import Codebooks
from encoders.semantic_ids.measurement import changed_codes, codebook_metrics, prefix_agreement


def test_metrics_of_known_codes() -> None:
    codes = np.array([[0, 1, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0]])
    vectors = np.array([[1, 0], [0, 1], [2, 0], [0, 2]], np.float32)
    books = Codebooks(np.zeros((3, 2, 2), np.float32))

    metrics = codebook_metrics(codes, vectors, books)

    assert metrics["c1_utilisation"] == 1
    assert metrics["c1_entropy"] == pytest.approx(1)
    assert metrics["c2_entropy"] == pytest.approx(-(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)))
    assert metrics["c3_utilisation"] == 0.5
    assert metrics["c1_collision_rate"] == 1
    assert metrics["c2_collision_rate"] == 0.5
    assert metrics["collision_rate"] == 0.5


def test_equal_vectors_are_no_collision() -> None:
    codes = np.zeros((3, 3), np.int64)
    books = Codebooks(np.zeros((3, 2, 2), np.float32))

    assert codebook_metrics(codes, np.ones((3, 2), np.float32), books)["collision_rate"] == 0


def test_changed_codes_are_shares_of_items() -> None:
    before = np.array([[0, 1, 2], [0, 1, 2], [3, 3, 3], [4, 4, 4]])
    after = np.array([[0, 1, 2], [0, 2, 1], [3, 3, 0], [4, 4, 4]])

    assert changed_codes(before, after) == {"c1": 0, "c2": 0.25, "c3": 0.5, "triple": 0.5}


def test_nothing_compared_is_nothing_changed() -> None:
    none = np.empty((0, 3), np.int64)

    assert changed_codes(none, none) == {"c1": 0, "c2": 0, "c3": 0, "triple": 0}


def test_prefix_agreement_of_known_pairs_stands_beside_chance() -> None:
    codes = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]])
    pairs = np.array([[0, 1], [0, 2], [0, 3], [1, 0]])

    found = prefix_agreement(pairs, codes)

    assert found["c1"] == 0.75
    assert found["c1_c2"] == 0.5
    # Of the eight ends of pairs seven have c1 = 0; six (0, 0), one (0, 1) and one (1, 0).
    assert found["c1_by_chance"] == pytest.approx((7 / 8) ** 2 + (1 / 8) ** 2)
    assert found["c1_c2_by_chance"] == pytest.approx((6 / 8) ** 2 + 2 * (1 / 8) ** 2)


def test_prefixes_that_say_nothing_agree_as_often_as_chance() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (500, 3))

    found = prefix_agreement(rng.integers(0, 500, (20_000, 2)), codes)

    assert found["c1"] == pytest.approx(found["c1_by_chance"], abs=0.01)
    assert found["c1_c2"] == pytest.approx(found["c1_c2_by_chance"], abs=0.01)


def test_no_pairs_agree_on_nothing() -> None:
    found = prefix_agreement(np.empty((0, 2), np.int64), np.zeros((3, 3), np.int64))

    assert set(found.values()) == {0.0}
