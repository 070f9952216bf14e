"""Users of the shop: their tastes, and their events with items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from spark_jobs.demo.shop.catalogue import Item
from spark_jobs.demo.shop.products import (
    BRANDS,
    CATEGORIES,
    STYLES,
    Product,
    happens,
    pick,
    stream,
    token,
)

TRIBES = 10  # groups of users with a taste in common, which no text mentions
DAYS = 30
VISITS = 7.0  # of the median user in ``DAYS``; a visit is two events or so
_LIKES = {"kind": 2.6, "brand": 2.4, "style": 1.8, "price_level": 1.0}
_VALUES: Mapping[str, Sequence[object]] = {
    "kind": tuple(CATEGORIES),
    "brand": BRANDS,
    "style": tuple(STYLES),
    "price_level": (0, 1, 2),
}
_FOLLOW_UPS = (("click", 0.55), ("like", 0.18), ("cart", 0.22), ("purchase", 0.1))
_DOMAIN_WEIGHTS = {"page": 0.6, "video": 0.25, "live": 0.15}


@dataclass(frozen=True)
class User:
    """A user and their taste.

    Attributes:
        weights: trait ("kind", "brand", "style", "price_level") -> weight of each of its values,
            at the start and at the end of the 30 days: tastes drift.
        activity: visits in 30 days.
    """

    user_id: str
    tribe: int
    weights: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    activity: int


@dataclass(frozen=True)
class Event:
    """An interaction of a user with an item."""

    user_id: str
    domain: str
    item_id: str
    action: str
    occurred_at: datetime
    value: float | None


def all_users(seed: int, count: int) -> list[User]:
    """Return users of ``TRIBES`` tribes, most of them with few visits."""
    tribes = [_tribe(stream(seed, "tribe", number)) for number in range(TRIBES)]
    users = []
    for number in range(count):
        rng = stream(seed, "user", number)
        tribe = int(rng.integers(TRIBES))
        start = _own_taste(tribes[tribe], rng)
        end = _own_taste(tribes[tribe], rng)
        weights = {trait: (start[trait], 0.7 * start[trait] + 0.3 * end[trait]) for trait in _LIKES}
        activity = int(np.clip(VISITS * rng.lognormal(0, 0.6), 3, 90))
        users.append(User(f"u{token(seed, 'user', number)}", tribe, weights, activity))
    return users


def popularity(products: Sequence[Product], seed: int) -> NDArray[np.float64]:
    """Return the part of each product's liking that is its popularity."""
    return stream(seed, "popularity").normal(0, 0.55, len(products))


def traits(products: Sequence[Product]) -> Mapping[str, NDArray[np.intp]]:
    """Return trait -> the position of each product's value among all its values."""
    return {
        trait: np.array([values.index(getattr(product, trait)) for product in products])
        for trait, values in _VALUES.items()
    }


def liking(
    user: User, traits: Mapping[str, NDArray[np.intp]], *, moment: float
) -> NDArray[np.float64]:
    """Return how much a user likes each product.

    Args:
        moment: from 0, the start of the 30 days, to 1, their end.
    """
    total = np.zeros(len(traits["kind"]))
    for trait, positions in traits.items():
        start, end = user.weights[trait]
        total += (start * (1 - moment) + end * moment)[positions]
    return total


@dataclass(frozen=True)
class Offer:
    """The products and items that users can visit.

    Attributes:
        items: of each product, by domain.
        traits: see ``traits``.
        popularity: what it adds to a liking; minus infinity for a product without items.
    """

    items: Sequence[Mapping[str, Sequence[Item]]]
    traits: Mapping[str, NDArray[np.intp]]
    popularity: NDArray[np.float64]


def offer(products: Sequence[Product], items: Sequence[Item], *, seed: int) -> Offer:
    """Return the offer of a shop that has ``items``."""
    position = {product.product_id: index for index, product in enumerate(products)}
    by_domain: list[dict[str, list[Item]]] = [{} for _ in products]
    for item in items:
        by_domain[position[item.product_id]].setdefault(item.domain, []).append(item)
    known = popularity(products, seed)
    absent = np.array([not each for each in by_domain])
    return Offer(by_domain, traits(products), np.where(absent, -np.inf, known))


def history(users: Sequence[User], on_offer: Offer, *, end: datetime, seed: int) -> list[Event]:
    """Return the events of the ``DAYS`` days before ``end``."""
    events: list[Event] = []
    for user in users:
        rng = stream(seed, "history", user.user_id)
        seconds = np.sort(rng.uniform(0, DAYS, user.activity)) * 86_400
        start = end - timedelta(days=DAYS)
        moments = [start + timedelta(seconds=int(each)) for each in seconds]
        events += _visits(user, on_offer, moments=moments, end=end, rng=rng)
    return _in_order(events)


def day(users: Sequence[User], on_offer: Offer, *, end: datetime, seed: int) -> list[Event]:
    """Return the events of the day before ``end``, of 15 % of the users."""
    events: list[Event] = []
    for user in users:
        rng = stream(seed, "day", end.isoformat(), user.user_id)
        if not happens(rng, 0.15):
            continue
        seconds = np.sort(rng.uniform(0.2, 0.98, int(rng.integers(2, 6)))) * 86_400
        moments = [end - timedelta(days=1) + timedelta(seconds=int(each)) for each in seconds]
        events += _visits(user, on_offer, moments=moments, end=end, rng=rng)
    return _in_order(events)


def night_end(ds: str) -> datetime:
    """Return the first moment after a night."""
    return datetime.fromisoformat(ds).replace(tzinfo=UTC) + timedelta(days=1)


def _tribe(rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Return a tribe's taste: three kinds of product, six brands, a style and a price level."""
    liked = {"kind": 3, "brand": 6, "style": 1, "price_level": 1}
    weights: dict[str, NDArray[np.float64]] = {}
    for trait, values in _VALUES.items():
        chosen = rng.permutation(len(values))[: liked[trait]]
        weights[trait] = np.isin(np.arange(len(values)), chosen).astype(np.float64)
    return weights


def _own_taste(
    tribe: Mapping[str, NDArray[np.float64]], rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Return a member's taste: the tribe's, with some variation."""
    return {
        trait: np.asarray(strength * (tribe[trait] + rng.normal(0, 0.3, len(tribe[trait]))))
        for trait, strength in _LIKES.items()
    }


def _visits(
    user: User,
    on_offer: Offer,
    *,
    moments: Sequence[datetime],
    end: datetime,
    rng: np.random.Generator,
) -> list[Event]:
    """Return the events of visits to products that the user likes, before ``end``."""
    likings = [liking(user, on_offer.traits, moment=moment) for moment in (0.0, 1.0)]
    events: list[Event] = []
    for moment in moments:
        share = 1 - min(1.0, (end - moment) / timedelta(days=DAYS))
        scores = likings[0] * (1 - share) + likings[1] * share + on_offer.popularity
        chances = np.exp(scores - scores.max())
        product = int(rng.choice(len(scores), p=chances / chances.sum()))
        item = _item(on_offer.items[product], rng)
        events += [
            event
            for event in _events(user, item, moment=moment, rng=rng)
            if event.occurred_at < end
        ]
    return events


def _item(of_product: Mapping[str, Sequence[Item]], rng: np.random.Generator) -> Item:
    domains = sorted(of_product)
    weights = np.array([_DOMAIN_WEIGHTS[domain] for domain in domains])
    return pick(rng, of_product[domains[int(rng.choice(len(domains), p=weights / weights.sum()))]])


def _events(user: User, item: Item, *, moment: datetime, rng: np.random.Generator) -> list[Event]:
    """Return a view, and the events that follow it, some seconds apart."""
    seconds = round(float(rng.gamma(2, 9)), 1)
    found = [Event(user.user_id, *item.key, "view", moment, seconds)]
    for action, probability in _FOLLOW_UPS:
        if happens(rng, probability):
            moment += timedelta(seconds=int(rng.integers(5, 90)))
            value = item.price if action == "purchase" else None
            found.append(Event(user.user_id, *item.key, action, moment, value))
    return found


def _in_order(events: Sequence[Event]) -> list[Event]:
    """Order events by time, each key once: second, user, item and action."""
    unique = {(e.occurred_at, e.user_id, e.domain, e.item_id, e.action): e for e in events}
    return [unique[key] for key in sorted(unique)]
