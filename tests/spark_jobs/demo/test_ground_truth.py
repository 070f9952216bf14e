import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import pair_confusion_matrix
from sklearn.metrics.pairwise import cosine_similarity

from spark_jobs.demo.evaluation import (
    DIRECTIONS,
    Items,
    PairwiseScores,
    Vectors,
    cross_domain_retrieval,
    next_interactions,
    pairwise_scores,
    raw_vectors,
    recall_at_k,
)

LABELS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("wxyz")), max_size=25)


@given(LABELS)
def test_pairwise_scores_agree_with_all_pairs_one_by_one(labels: list[tuple[str, str]]) -> None:
    pairs = list(itertools.combinations(labels, 2))
    said = [one[0] == other[0] for one, other in pairs]
    true = [one[1] == other[1] for one, other in pairs]
    both = sum(s and t for s, t in zip(said, true, strict=True))

    scores = pairwise_scores([p for p, _ in labels], [t for _, t in labels])

    assert scores.precision == (both / sum(said) if sum(said) else None)
    assert scores.recall == (both / sum(true) if sum(true) else None)
    total = sum(said) + sum(true)
    assert scores.f1 == (2 * both / total if total else None)


def test_pairwise_scores_agree_with_sklearn() -> None:
    rng = np.random.default_rng(0)
    predicted, truth = rng.integers(0, 40, 500), rng.integers(0, 30, 500)
    (_, false_pairs), (missed, both) = pair_confusion_matrix(truth, predicted)

    scores = pairwise_scores([str(p) for p in predicted], [str(t) for t in truth])

    assert scores.precision == pytest.approx(both / (both + false_pairs))
    assert scores.recall == pytest.approx(both / (both + missed))


def test_pairwise_scores_of_the_truth_are_one() -> None:
    assert pairwise_scores(["1", "1", "2"], ["a", "a", "b"]) == PairwiseScores(1.0, 1.0, 1.0)


def test_pairwise_scores_refuse_lists_of_different_lengths() -> None:
    with pytest.raises(ValueError, match="2 predicted groups, but 1 true"):
        pairwise_scores(["1", "1"], ["a"])


@pytest.fixture
def items() -> Items:
    rng = np.random.default_rng(1)
    count = 90
    products = np.array([f"product {number}" for number in rng.integers(0, 15, count)])
    domains = np.array([("page", "video", "live")[number] for number in rng.integers(0, 3, count)])
    return Items(domains, products, rng.normal(size=(count, 6)).astype(np.float32))


@pytest.mark.parametrize("k", [1, 3])
def test_cross_domain_retrieval_agrees_with_a_search_by_hand(items: Items, k: int) -> None:
    chosen = sorted(set(items.products))[:9]
    similarity = cosine_similarity(items.vectors)
    everything = range(len(items.products))

    found = cross_domain_retrieval(items, products=chosen, k=k)

    assert set(found) == set(DIRECTIONS)
    for (query_domain, candidate_domain), scores in found.items():
        pool = [
            i
            for i in everything
            if items.domains[i] == candidate_domain and items.products[i] in chosen
        ]
        hits = []
        for query in everything:
            wanted = [i for i in pool if items.products[i] == items.products[query]]
            if items.domains[query] == query_domain and wanted:
                best = sorted(pool, key=lambda i: -similarity[query, i])[:k]
                hits.append(bool(set(best) & set(wanted)))
        assert scores.recall == pytest.approx(np.mean(hits))
        assert (scores.queries, scores.candidates) == (len(hits), len(pool))


def test_cross_domain_retrieval_counts_an_item_without_a_vector_as_not_found() -> None:
    nothing = [np.nan, np.nan]
    items = Items(
        np.array(["page", "page", "video", "video"]),
        np.array(["a", "b", "a", "b"]),
        np.array([[1, 0], nothing, [1, 0.1], [0, 1]], dtype=np.float32),
    )

    found = cross_domain_retrieval(items, products={"a", "b"})

    assert found["page", "video"].recall == 0.5
    assert found["video", "page"].recall == 0.5
    assert ("page", "live") not in found


def test_raw_vectors_take_each_domains_mean_off() -> None:
    rng = np.random.default_rng(2)
    content = rng.normal(size=(20, 8))
    offset = np.concatenate([np.full((20, 8), 3.0), np.full((20, 8), -3.0)])
    features = (np.concatenate([content, content]) + offset).astype(np.float32)
    domains = np.array(["page"] * 20 + ["video"] * 20)
    products = np.array([f"p{number}" for number in range(20)] * 2)

    vectors = raw_vectors(features, features[:, :4], domains)

    assert vectors.shape == (40, 12)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    across = cross_domain_retrieval(Items(domains, products, vectors), products=set(products))
    assert across["page", "video"].recall > 0.9


def test_raw_vectors_do_without_a_missing_modality() -> None:
    images = np.array([[1, 0], [0, 1], [np.nan, np.nan], [np.nan, np.nan]], dtype=np.float32)
    texts = np.array([[1, 0], [np.nan, np.nan], [0, 1], [np.nan, np.nan]], dtype=np.float32)

    vectors = raw_vectors(images, texts, np.array(["page"] * 4))

    np.testing.assert_allclose(vectors[1, 2:], 0)
    np.testing.assert_allclose(vectors[2, :2], 0)
    np.testing.assert_allclose(np.linalg.norm(vectors[:3], axis=1), 1, atol=1e-5)
    assert np.isnan(vectors[3]).all()


def test_raw_vectors_make_nothing_of_a_title_that_all_items_of_a_domain_have() -> None:
    rng = np.random.default_rng(3)
    images = rng.normal(size=(30, 8)).astype(np.float32)
    texts = np.repeat(rng.normal(size=(1, 5)).astype(np.float32), 30, axis=0)
    domains = np.array(["page"] * 30)

    vectors = raw_vectors(images, texts, domains)

    np.testing.assert_array_equal(vectors, raw_vectors(images, texts * np.nan, domains))


@given(st.integers(0, 500), st.integers(1, 6))
def test_recall_at_k_agrees_with_a_ranking_by_hand(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(7, 9))
    hidden, sought = rng.random((7, 9)) < 0.3, rng.random((7, 9)) < 0.3
    sought &= ~hidden
    recalls = []
    for user in range(7):
        wanted = set(np.flatnonzero(sought[user]))
        ranking = sorted(np.flatnonzero(~hidden[user]), key=lambda s: -scores[user, s])
        if wanted:
            recalls.append(len(wanted & set(ranking[:k])) / len(wanted))

    found = recall_at_k(scores, sought, hidden=hidden, k=k)

    assert found == pytest.approx(np.mean(recalls) if recalls else 0.0)


EVENTS = pd.DataFrame(
    [
        ("ann", "s1", "2026-01-01"),
        ("ann", "s2", "2026-01-02"),
        ("ann", "s2", "2026-01-06"),
        ("ann", "s3", "2026-01-06"),
        ("ben", "s1", "2026-01-03"),
        ("ben", "s4", "2026-01-07"),
        ("cat", "s3", "2026-01-08"),  # nothing before the cut
        ("dan", "s1", "2026-01-02"),  # nothing after it
        ("eve", "s1", "2026-01-02"),  # no vector
        ("eve", "s4", "2026-01-08"),
    ],
    columns=["user_id", "spu_id", "occurred_at"],
).assign(occurred_at=lambda frame: pd.to_datetime(frame["occurred_at"]))
CUT = pd.Timestamp("2026-01-05")
SPUS = ["s1", "s2", "s3", "s4"]
EACH = np.eye(4, dtype=np.float32)
# Ann likes s3 best, then s2; ben likes s1 best, then s4.
USERS = Vectors(
    ["ann", "ben", "cat", "dan"],
    np.array([[0, 0.5, 1, 0], [1, 0, 0, 0.5], EACH[0], EACH[0]], dtype=np.float32),
)
# The text of s2 is that of s3, and s1 and s4 are told apart by a hair.
TEXTS = Vectors(SPUS, np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0.1], [0.9, 0, 1]], dtype=np.float32))


@pytest.mark.parametrize(
    ("masked", "learn", "popularity", "nearest_text"),
    [
        # One guess each. Masked: ann seeks s3 and ben s4, and both are guessed but by popularity,
        # where ann is told s3 (a tie of s3 and s4) and ben s2.
        (True, 1.0, 0.5, 1.0),
        # Unmasked: ann seeks s2 and s3: one guess finds half. Ben is told s1, which he had.
        (False, 0.25, 0.0, 0.25),
    ],
)
def test_next_interactions_of_three_rankings(
    masked: bool, learn: float, popularity: float, nearest_text: float
) -> None:
    scores = next_interactions(
        EVENTS, CUT, users=USERS, spus=Vectors(SPUS, EACH), texts=TEXTS, k=1, masked=masked
    )

    assert (scores.learn, scores.popularity, scores.nearest_text) == (
        learn, popularity, nearest_text,
    )  # fmt: skip
    assert scores.users == 2
    assert scores.masked is masked


def test_next_interactions_by_the_text_of_the_whole_history_look_past_the_last_spu() -> None:
    # Twice like s1, whose text s4 shares; the last one is like s3.
    texts = Vectors([*SPUS, "s5"], np.array([[1, 0], [0, 1], [0.1, 1], [1, 0.1], [1, 0.05]]))
    history = [("s1", "2026-01-01"), ("s5", "2026-01-02"), ("s2", "2026-01-03")]
    events = pd.DataFrame(
        [("ann", spu, pd.Timestamp(at)) for spu, at in [*history, ("s4", "2026-01-09")]],
        columns=["user_id", "spu_id", "occurred_at"],
    )
    users = Vectors(["ann"], np.ones((1, 2), dtype=np.float32))

    scores = next_interactions(events, CUT, users=users, spus=texts, texts=texts, k=1)

    assert scores.nearest_text == 0.0
    assert scores.history_text == 1.0


def test_next_interactions_say_when_nobody_can_be_measured() -> None:
    with pytest.raises(LookupError, match="no user with a vector"):
        next_interactions(
            EVENTS, pd.Timestamp("2027-01-01"), users=USERS, spus=Vectors(SPUS, EACH), texts=TEXTS
        )
