"""Assigned triples against brute force, and what holds of them whatever the vectors."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.semantic_ids.assignment import NO_CODES, Claims, assigned_codes
from encoders.semantic_ids.codebooks import Codebooks


def books(size: int = 2, seed: int = 0, width: int = 3) -> Codebooks:
    rng = np.random.default_rng(seed)
    scale = np.array([4.0, 2.0, 1.0])[:, None, None]
    return Codebooks((scale * rng.normal(size=(3, size, width))).astype(np.float32))


def drawn(count: int, seed: int = 0, width: int = 3) -> np.ndarray:
    return 4 * np.random.default_rng([seed, 1]).normal(size=(count, width)).astype(np.float32)


def triples(codes: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(row) for row in codes.tolist()]


def test_vectors_with_nearest_triples_of_their_own_get_those() -> None:
    codebooks = books(size=4)
    every = np.stack(np.unravel_index(np.arange(64), (4, 4, 4)), axis=1)
    vectors = codebooks.reconstructed(every)
    nearest = codebooks.codes(vectors)
    firsts = np.unique(nearest, axis=0, return_index=True)[1]

    found = assigned_codes(vectors[firsts], codebooks)

    np.testing.assert_array_equal(found, nearest[firsts])


@pytest.mark.parametrize("seed", range(8))
def test_last_codes_of_a_prefix_have_the_least_sum_of_squared_errors(seed: int) -> None:
    # One prefix: the first two levels have one place, wherever they are looked at.
    size = 4
    centroids = np.zeros((3, size, 2), np.float32)
    centroids[:2, 1:] = 1e3
    centroids[2] = np.random.default_rng(seed).normal(size=(size, 2))
    vectors = np.random.default_rng([seed, 2]).normal(size=(3, 2)).astype(np.float32)

    found = assigned_codes(vectors, Codebooks(centroids))

    assert (found[:, :2] == 0).all()
    errors = {
        order: np.square(vectors - centroids[2][list(order)]).sum()
        for order in permutations(range(size), 3)
    }
    assert errors[tuple(found[:, 2])] == pytest.approx(min(errors.values()))


def test_farthest_of_a_full_prefix_go_to_the_next_best_with_room() -> None:
    centroids = np.zeros((3, 2, 1), np.float32)
    centroids[0] = [[0], [10]]
    centroids[1] = [[0], [3]]  # prefixes at 0, 3, 10, 13, two places each
    centroids[2] = [[0.1], [-0.1]]
    vectors = np.array([[0.4], [0.1], [-0.2], [0.3], [1.2]], np.float32)

    found = assigned_codes(vectors, Codebooks(centroids))

    assert [row[:2] for row in triples(found)] == [(0, 1), (0, 0), (0, 0), (1, 0), (0, 1)]


def test_codes_in_use_are_not_given_again() -> None:
    codebooks, vectors = books(), drawn(4)
    held = assigned_codes(vectors, codebooks)

    newcomers = assigned_codes(drawn(4, seed=5), codebooks, taken_TV=held)

    assert not set(triples(held)) & set(triples(newcomers))
    assert len(set(triples(newcomers))) == 4


def test_claim_is_kept_where_its_prefix_is_the_nearest_and_it_is_free() -> None:
    codebooks, vectors = books(size=3), drawn(1)
    nearest = codebooks.codes(vectors)
    claim = nearest.copy()
    claim[0, 2] = (claim[0, 2] + 1) % 3
    elsewhere = claim.copy()
    elsewhere[0, 0] = (elsewhere[0, 0] + 1) % 3

    def found(codes: np.ndarray, unmoved: bool = False, taken: np.ndarray = NO_CODES) -> list:
        claims = Claims(codes, np.array([unmoved]))
        return assigned_codes(vectors, codebooks, taken_TV=taken, claims=claims).tolist()

    assert found(claim) == claim.tolist()
    assert found(claim, taken=claim) == nearest.tolist()
    assert found(elsewhere) == nearest.tolist()
    assert found(elsewhere, unmoved=True) == elsewhere.tolist()
    assert found(np.full((1, 3), -1)) == nearest.tolist()
    assert found(np.full((1, 3), 3), unmoved=True) == nearest.tolist()  # of larger codebooks


def test_of_two_claims_to_a_triple_that_of_the_unmoved_vector_is_kept() -> None:
    codebooks, vectors = books(), np.repeat(drawn(1), 2, axis=0)
    claim = codebooks.codes(vectors)

    found = assigned_codes(vectors, codebooks, claims=Claims(claim, np.array([False, True])))

    assert triples(found)[1] == triples(claim)[1]
    assert triples(found)[0] != triples(claim)[0]


def test_vectors_beyond_the_last_triple_get_their_nearest_and_collide() -> None:
    codebooks, vectors = books(), drawn(11)

    found = assigned_codes(vectors, codebooks)

    assert len(set(triples(found))) == 8
    nearest = codebooks.codes(vectors)
    assert (found == nearest).all(axis=1).sum() >= 3


def test_no_vectors_get_no_codes() -> None:
    assert assigned_codes(drawn(0), books()).shape == (0, 3)


WORLDS = st.tuples(st.integers(2, 4), st.integers(0, 60), st.integers(0, 10_000))


@given(WORLDS)
def test_nobody_shares_a_triple_as_long_as_there_are_enough(world: tuple[int, int, int]) -> None:
    size, count, seed = world
    vectors = drawn(count, seed)
    vectors[count // 2 :] = vectors[: count - count // 2]  # half of them twice

    found = assigned_codes(vectors, books(size, seed))

    assert len(set(triples(found))) == min(count, size**3)
    assert ((found >= 0) & (found < size)).all()


@given(WORLDS)
def test_order_of_different_vectors_does_not_matter(world: tuple[int, int, int]) -> None:
    size, count, seed = world
    count = min(count, size**3)
    codebooks, vectors = books(size, seed), drawn(count, seed)
    order = np.random.default_rng(seed).permutation(count)

    found = assigned_codes(vectors[order], codebooks)

    np.testing.assert_array_equal(found, assigned_codes(vectors, codebooks)[order])


@given(WORLDS, st.integers(0, 30))
def test_codes_in_force_stay_and_newcomers_get_others(
    world: tuple[int, int, int], arriving: int
) -> None:
    size, count, seed = world
    count = min(count, size**3)
    codebooks = books(size, seed)
    held = assigned_codes(drawn(count, seed), codebooks)

    newcomers = assigned_codes(drawn(arriving, seed + 1), codebooks, taken_TV=held)

    everyone = triples(held) + triples(newcomers)
    assert len(set(everyone)) == min(count + arriving, size**3)
