from collections import Counter

import numpy as np
import pytest

from encoders.retrieval import rank_relevant
from spark_jobs.demo.shop.behaviour import (
    Event,
    User,
    all_users,
    day,
    history,
    liking,
    night_end,
    offer,
    popularity,
    traits,
)
from spark_jobs.demo.shop.catalogue import Item, ShopSize
from spark_jobs.demo.shop.products import Product, all_products
from spark_jobs.demo.shop.three_nights import NIGHTS, first_night

SIZE = ShopSize(products=80, new_products=2, videos=30, rooms=3, users=250)
SEED = 4
END = night_end(NIGHTS[0])


@pytest.fixture(scope="module")
def products() -> list[Product]:
    return all_products(SEED, SIZE.products, new=SIZE.new_products)


@pytest.fixture(scope="module")
def items(products: list[Product]) -> list[Item]:
    return first_night(products, size=SIZE, seed=SEED)


@pytest.fixture(scope="module")
def users() -> list[User]:
    return all_users(SEED, SIZE.users)


@pytest.fixture(scope="module")
def events(products: list[Product], items: list[Item], users: list[User]) -> list[Event]:
    return history(users, offer(products, items, seed=SEED), end=END, seed=SEED)


def test_history_has_a_long_tail_of_users_and_products(
    events: list[Event], items: list[Item], users: list[User]
) -> None:
    product_of = {item.key: item.product_id for item in items}
    by_user = Counter(event.user_id for event in events)
    by_product = Counter(product_of[event.domain, event.item_id] for event in events)

    assert len(by_user) == len(users)
    assert 12 <= np.mean(list(by_user.values())) <= 24
    assert max(by_user.values()) > 3 * np.median(list(by_user.values()))
    assert by_product.most_common(1)[0][1] > 5 * np.median(list(by_product.values()))


def test_history_reaches_all_domains_and_actions(events: list[Event]) -> None:
    assert {event.domain for event in events} == {"page", "video", "live"}
    actions = Counter(event.action for event in events)
    assert [name for name, _ in actions.most_common(2)] == ["view", "click"]
    assert actions["view"] > actions["cart"] > actions["purchase"] > 0


def test_history_has_only_items_on_offer(events: list[Event], items: list[Item]) -> None:
    assert {(event.domain, event.item_id) for event in events} <= {item.key for item in items}
    assert all(event.occurred_at < END for event in events)


def test_day_has_events_of_about_15_percent_of_the_users(
    products: list[Product], items: list[Item], users: list[User]
) -> None:
    end = night_end(NIGHTS[1])

    of_day = day(users, offer(products, items, seed=SEED), end=end, seed=SEED)

    active = {event.user_id for event in of_day}
    assert 0.08 * len(users) < len(active) < 0.25 * len(users)
    assert all(END <= event.occurred_at < end for event in of_day)


def test_tastes_drift_a_little(users: list[User], products: list[Product]) -> None:
    positions = traits(products)
    likings = [[liking(user, positions, moment=m) for m in (0.0, 1.0)] for user in users[:50]]

    correlations = [np.corrcoef(start, end)[0, 1] for start, end in likings]
    assert 0.8 < np.mean(correlations) < 0.999


def test_taste_predicts_much_better_than_popularity(
    products: list[Product], items: list[Item], users: list[User], events: list[Event]
) -> None:
    row_of = {product.product_id: row for row, product in enumerate(products)}
    row = {item.key: row_of[item.product_id] for item in items}
    later = day(users, offer(products, items, seed=SEED), end=night_end(NIGHTS[1]), seed=SEED)
    met, next_met = (
        {(event.user_id, row[event.domain, event.item_id]) for event in some}
        for some in (events, later)
    )
    active = [user for user in users if any(of == user.user_id for of, _ in next_met - met)]
    seen, targets = (
        [np.array([at for of, at in pairs if of == user.user_id]) for user in active]
        for pairs in (met, next_met - met)
    )
    added = popularity(products, SEED)
    tastes = np.array([liking(user, traits(products), moment=1.0) + added for user in active])
    counts = Counter(at for _, at in met)
    by_users = np.tile([float(counts[at]) for at in range(len(products))], (len(active), 1))

    by_taste, by_popularity = (
        rank_relevant(scores.__getitem__, targets, masked=seen).recall(10).mean()
        for scores in (tastes, by_users)
    )

    assert by_taste > 1.5 * by_popularity
