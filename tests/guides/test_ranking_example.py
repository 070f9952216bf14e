"""The ranking team's example: its features know nothing of a request's time or later."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from candidates import Candidates, Draws, sampled_candidates
from compare import compared, report
from embedmill_features import (
    Served,
    code_features,
    histogram_features,
    transition_features,
    vector_features,
)
from event_index import EventIndex
from feast_features import Products, Users, night_of
from feature_sets import SETS, featured
from network_ranker import Inputs, network, prefix_rows
from own_features import own_features
from purchases import MINUTES_A_DAY, Purchases
from ranking_metrics import Judged, auc, auc_draws, relative, request_ndcg
from sklearn.metrics import ndcg_score, roc_auc_score

DAYS, USERS, PRODUCTS, WIDTH = 40, 12, 20, 4
START = pd.Timestamp("2026-01-01")
NIGHTS = np.array([30, 35, 40]) * MINUTES_A_DAY + int(START.value // 60_000_000_000)


@pytest.fixture(scope="module")
def log() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    moments = [
        (f"u{user}", START + pd.Timedelta(minutes=int(minute)))
        for user in range(USERS)
        for minute in rng.integers(0, DAYS * MINUTES_A_DAY, 8)
    ]
    lines = [
        (user, f"p{item:02d}", moment, float(rng.uniform(1, 9)))
        for user, moment in moments
        for item in rng.choice(PRODUCTS, 3, replace=False)
    ]
    # So that every product is known before the nights.
    first = [(None, f"p{item:02d}", START, 1.0) for item in range(PRODUCTS)]
    return pd.DataFrame(first + lines, columns=["user_id", "item_id", "occurred_at", "price"])


@pytest.fixture(scope="module")
def products() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(len(NIGHTS), PRODUCTS, WIDTH)).astype(np.float32)
    return {"vectors": vectors, "codes": rng.integers(0, 3, (len(NIGHTS), PRODUCTS, 3))}


def all_features(
    purchases: Purchases, candidates: Candidates, products: dict[str, np.ndarray]
) -> pd.DataFrame:
    night = night_of(candidates.minute, NIGHTS)
    parts = [
        own_features(purchases, candidates),
        code_features(purchases, candidates, products["codes"], night),
        histogram_features(purchases, candidates, {"cope": products["vectors"]}, night),
        transition_features(purchases, candidates, NIGHTS, night),
    ]
    return pd.concat(parts, axis=1)


def test_what_happens_at_a_request_or_after_it_changes_no_feature(
    log: pd.DataFrame, products: dict[str, np.ndarray]
) -> None:
    purchases = Purchases.of_frame(log)
    drawn = sampled_candidates(purchases, NIGHTS, seed=0)
    one = drawn.rows(drawn.request == drawn.request[len(drawn) // 2])
    moment = START.to_datetime64().astype("datetime64[m]") + (
        one.minute[0] - START.value // 60_000_000_000
    ).astype("timedelta64[m]")
    user = purchases.user_ids[one.user[0]]
    planted = pd.DataFrame(
        {
            "user_id": [user] * PRODUCTS * 2 + ["stranger"] * PRODUCTS,
            "item_id": [f"p{item:02d}" for item in range(PRODUCTS)] * 3,
            "occurred_at": [pd.Timestamp(moment)] * PRODUCTS
            + [pd.Timestamp(moment) + pd.Timedelta(days=1)] * 2 * PRODUCTS,
            "price": 1000.0,
        }
    )
    later = Purchases.of_frame(pd.concat([log, planted], ignore_index=True))
    again = replace(one, user=np.full(len(one), later.user_ids.index(user)))

    with_later = all_features(later, again, products)

    pd.testing.assert_frame_equal(with_later, all_features(purchases, one, products))


def test_what_happened_a_minute_before_a_request_changes_features(
    log: pd.DataFrame, products: dict[str, np.ndarray]
) -> None:
    purchases = Purchases.of_frame(log)
    drawn = sampled_candidates(purchases, NIGHTS, seed=0)
    one = drawn.rows(drawn.request == drawn.request[0])

    shifted = all_features(
        replace(purchases, minute=purchases.minute - 7 * MINUTES_A_DAY), one, products
    )

    assert (shifted != all_features(purchases, one, products)).any(axis=None)


def test_counts_are_those_of_a_loop_over_the_log(log: pd.DataFrame) -> None:
    purchases = Purchases.of_frame(log)
    drawn = sampled_candidates(purchases, NIGHTS, seed=0)
    features = own_features(purchases, drawn)

    for row in range(0, len(drawn), 17):
        earlier = purchases.minute < drawn.minute[row]
        recent = earlier & (purchases.minute >= drawn.minute[row] - 7 * MINUTES_A_DAY)
        of_item = purchases.item == drawn.item[row]
        of_user = purchases.user == drawn.user[row]
        assert np.expm1(features["spu_events"][row]) == pytest.approx((earlier & of_item).sum())
        assert np.expm1(features["spu_events_7d"][row]) == pytest.approx((recent & of_item).sum())
        assert np.expm1(features["user_spu_events"][row]) == pytest.approx(
            (earlier & of_item & of_user).sum()
        )
        assert features["user_baskets"][row] == pytest.approx(
            np.log1p(len(np.unique(purchases.minute[earlier & of_user])))
        )


def test_the_last_event_is_the_last_before_the_minute() -> None:
    index = EventIndex(np.array([3, 3, 5]), np.array([10, 20, 7]), np.array([1.0, 2.0, 4.0]))
    keys, minutes = np.array([3, 3, 3, 5, 4]), np.array([10, 20, 21, 8, 99])

    assert index.before(keys, minutes).tolist() == [0, 1, 2, 1, 0]
    np.testing.assert_equal(index.minutes_since_last(keys, minutes), [np.nan, 10, 1, 1, np.nan])
    np.testing.assert_equal(index.minutes_since_first(keys, minutes), [np.nan, 10, 11, 1, np.nan])
    np.testing.assert_equal(index.mean_before(keys, minutes), [np.nan, 1, 1.5, 4, np.nan])
    np.testing.assert_equal(index.last_value_before(keys, minutes), [np.nan, 1, 2, 4, np.nan])


def test_negatives_were_not_bought_then_and_positives_were(log: pd.DataFrame) -> None:
    purchases = Purchases.of_frame(log)

    drawn = sampled_candidates(purchases, NIGHTS, draws=Draws(positives=2), seed=0)

    baskets = set(zip(purchases.user, purchases.minute, purchases.item, strict=True))
    asked = zip(drawn.user, drawn.minute, drawn.item, strict=True)
    assert [row in baskets for row in asked] == drawn.bought.tolist()
    assert pd.Series(drawn.bought).groupby(drawn.request).sum().max() == 2
    assert not pd.DataFrame({"r": drawn.request, "i": drawn.item}).duplicated().any()
    assert ((drawn.minute >= NIGHTS[0]) & (drawn.minute < NIGHTS[-1])).all()


def test_a_product_that_came_up_after_the_night_is_no_candidate(log: pd.DataFrame) -> None:
    moment = pd.Timestamp(NIGHTS[0] + 10, unit="m")
    row = {"user_id": "u0", "item_id": "new", "occurred_at": moment, "price": 1.0}
    purchases = Purchases.of_frame(pd.concat([log, pd.DataFrame([row])], ignore_index=True))
    new = purchases.item_ids.index("new")

    drawn = sampled_candidates(purchases, NIGHTS, seed=0)

    assert new not in drawn.item[drawn.minute < NIGHTS[1]]
    assert new in drawn.item[drawn.minute >= NIGHTS[1]]


def test_the_affinity_is_the_dot_product() -> None:
    rng = np.random.default_rng(0)
    user, spu = rng.normal(size=(2, 5, WIDTH)).astype(np.float32)
    served = Served(user, spu, spu, np.zeros((5, 3), np.int64))

    features = vector_features(served)

    np.testing.assert_allclose(features["affinity"], np.einsum("cd,cd->c", user, spu), rtol=1e-5)


def test_auc_and_ndcg_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 9, 60).astype(float) + np.linspace(0, 1e-6, 60)
    label = rng.random(60) < 0.4
    label[::10], label[1::10] = True, False  # each request has both
    judged = Judged(label, np.repeat(np.arange(6), 10), np.repeat([0, 1], 30))

    ndcg, _ = request_ndcg(scores, judged)

    rounded = np.round(scores)
    assert auc(rounded, judged) == pytest.approx(roc_auc_score(judged.label, rounded))
    shape = (6, 10)
    np.testing.assert_allclose(
        ndcg.mean(), ndcg_score(judged.label.reshape(shape), scores.reshape(shape))
    )


def test_the_interval_of_a_better_ranker_lies_above_zero_and_of_itself_is_zero() -> None:
    rng = np.random.default_rng(0)
    label = rng.random(3000) < 0.5
    judged = [Judged(label, np.repeat(np.arange(300), 10), np.repeat(np.arange(100), 30))]
    noise = rng.normal(size=3000)

    better, worse = (auc_draws([label + n * noise], judged) for n in (1, 3))
    ahead, same = relative(better, worse), relative(worse, worse)

    assert 0 < ahead.low < ahead.mean < ahead.high
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_the_network_learns_from_vectors_and_codes_and_the_same_seed_gives_the_same() -> None:
    rng = np.random.default_rng(0)
    user, spu = rng.normal(size=(2, 20_000, WIDTH)).astype(np.float32)
    codes = rng.integers(0, 4, (20_000, 3))
    label = user[:, 0] + 2 * (codes[:, 0] > 1) > 1
    inputs = Inputs(np.zeros((20_000, 1), np.float32), user, spu, prefix_rows(codes, codes))

    scores = network(inputs, label, inputs, seed=0)

    assert roc_auc_score(label, scores) > 0.8
    np.testing.assert_array_equal(scores, network(inputs, label, inputs, seed=0))


def test_a_prefix_that_training_did_not_have_and_a_missing_one_are_row_zero() -> None:
    known = np.array([[0, 1, 2], [0, 1, 3]])

    rows = prefix_rows(np.array([[0, 1, 3], [0, 2, 3], [-1, -1, -1]]), known)

    assert rows.tolist() == [[1, 1, 2], [1, 0, 0], [0, 0, 0]]


def test_the_comparison_judges_every_ranker_on_every_set(
    log: pd.DataFrame, products: dict[str, np.ndarray]
) -> None:
    purchases, ends = Purchases.of_frame(log), NIGHTS[:2]
    served = Products(products["vectors"][:2], products["vectors"][:2], products["codes"][:2])
    runs = []
    for seed in (0, 1):
        drawn = sampled_candidates(purchases, NIGHTS, seed=seed)
        request = np.unique(drawn.request)
        vectors = np.random.default_rng(2).normal(size=(len(request), WIDTH)).astype(np.float32)
        rows = featured(purchases, drawn, served, Users(request, vectors), nights=ends)
        runs.append(compared(rows, test_from=int(NIGHTS[1]), seed=seed))

    page = report(runs)

    rankers = ("logistic regression", "boosted trees", "network")
    assert set(runs[0].scores) == {(ranker, name) for ranker in rankers for name in SETS}
    for run in runs:
        assert all(np.isfinite(scores).all() for scores in run.scores.values())
        assert run.judged.label.sum() > 0
    assert all(f"### {ranker}" in page for ranker in rankers)
