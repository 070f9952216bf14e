"""Two trainings of LEARN on a public shop: what searches across their spaces find, by rotation.

    pytest tests/benchmarks/test_release_alignment.py -m bench

Seeds are fixed: a second run gives the same figures. Three trainings, about ten minutes.

Shapes: N items, U users, D numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import learn_shops
import numpy as np
import pytest
import torch
from learn_shops import Shop
from numpy.typing import NDArray
from result_tables import table

from encoders.cope.sampling import split_of
from encoders.learn.training import train
from encoders.retrieval import rank_relevant
from encoders.settings import LearnConfig
from encoders.spaces.procrustes import VectorPair, cross_recall, fitted_rotation
from encoders.spaces.rotation import Rotation

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

PAGE = ("release-alignment", "Old and new spaces: two trainings of LEARN, rotated into one")

EPOCHS = 1
MOST_QUERIES = 2_000
USERS_AT_ONCE = 512


Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Training:
    """What differs between trainings: the seed, and how many events of each user are left out."""

    seed: int
    unknown_events: int = 0


# The old training, and the new one.
PAIRS = {
    "same seed, one event of each user more": (Training(0, 1), Training(0)),
    "another seed": (Training(0), Training(1)),
}


@dataclass(frozen=True)
class Spaces:
    """Vectors of the same items and users by both trainings."""

    items: VectorPair
    users: VectorPair


@pytest.fixture(scope="module")
def beauty(datasets: Path) -> Shop:
    return learn_shops.amazon_beauty14(datasets)


@pytest.fixture(scope="module")
def vectors(
    beauty: Shop, pytestconfig: pytest.Config
) -> Callable[[Training], tuple[Vectors, Vectors]]:
    """A function that returns the vectors of items and users by a training, trained once."""
    assert pytestconfig.cache is not None
    contents = learn_shops.contents(beauty, pytestconfig.cache.mkdir("learn-contents"))
    return lru_cache(partial(trained_vectors, beauty, contents))


def trained_vectors(
    shop: Shop, contents_NC: Vectors, training: Training
) -> tuple[Vectors, Vectors]:
    """Return the vectors of items [N, D] and of users [U, D], of all that they have met."""
    histories = shop.before
    known = [history.until(len(history) - training.unknown_events) for history in histories]
    watched_from = [len(history) - 1 for history in known]
    config = replace(LearnConfig(), epochs=EPOCHS, seed=training.seed)
    trained = train(contents_NC, known, config, watched_from=watched_from)
    towers = trained.towers
    inputs = towers.inputs(torch.from_numpy(contents_NC), torch.from_numpy(trained.behaviour_NF))
    with torch.inference_mode():
        users = [
            towers.users(inputs, histories[start : start + USERS_AT_ONCE])
            for start in range(0, len(histories), USERS_AT_ONCE)
        ]
        return towers.items(inputs).numpy(), torch.cat(users).numpy()


@pytest.mark.parametrize("pair", PAIRS)
def test_a_rotation_brings_searches_across_spaces_near_to_those_within(
    pair: str,
    beauty: Shop,
    vectors: Callable[[Training], tuple[Vectors, Vectors]],
    sections: list[str],
) -> None:
    old, new = (vectors(training) for training in PAIRS[pair])
    items, users = VectorPair(new[0], old[0]), VectorPair(new[1], old[1])
    spaces = Spaces(items, users)
    other_items, item_queries = parted(len(items), "item")
    other_users, user_queries = parted(len(users), "user")
    spus, behaviour = items[other_items], users[other_users]
    rotations = {
        "none": np.eye(items.new_ND.shape[1]),
        "SPUs, centred": fitted_rotation(spus, centred=True),
        "SPUs": fitted_rotation(spus),
        "SPUs and users, centred": fitted_rotation(spus, behaviour, centred=True),
        "SPUs and users (release align)": fitted_rotation(spus, behaviour),
    }

    near_item, near_user = (
        {
            name: cross_recall(queries, items, rotation_DD, own_Q=own_Q)
            for name, rotation_DD in rotations.items()
        }
        for queries, own_Q in ((items[item_queries], item_queries), (users[user_queries], None))
    )
    next_item = {
        name: met_next(beauty, spaces, user_queries, rotation_DD)
        for name, rotation_DD in rotations.items()
    }

    columns = ["rotation fitted on", "within", "across", "across / within"]
    titles = {
        "SPUs near an SPU": {n: (r.within, r.across) for n, r in near_item.items()},
        "SPUs near a user": {n: (r.within, r.across) for n, r in near_user.items()},
        "What users met next": next_item,
    }
    sections.append(
        f"## {pair}\n\n{len(items):,} items, {len(users):,} users; {EPOCHS} epoch at most. Fitted "
        f"on {len(spus):,} items, beside {len(behaviour):,} users; {len(item_queries):,} other "
        f"items and {len(user_queries):,} other users search all items."
    )
    for title, found in titles.items():
        rows = [
            [name, f"{within:.4f}", f"{across:.4f}", f"{across / within:.1%}"]
            for name, (within, across) in found.items()
        ]
        sections.append(f"### {title}: recall@10\n\n{table(columns, rows)}")
    assert near_user["SPUs and users (release align)"].kept > 0.85


def parted(count: int, kind: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows to fit on, and those of the rest that search."""
    splits = [split_of(f"{kind} {row}", held_out=0.25, seed=0) for row in range(count)]
    is_held_out = np.array([split == "test" for split in splits])
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)[:MOST_QUERIES]


def met_next(
    shop: Shop, spaces: Spaces, users: NDArray[np.int64], rotation_DD: Rotation
) -> tuple[float, float]:
    """Return recall@10 of the item that each user met next: within the new space, and across.

    This is the cross test with labels. Items of the history cannot be found.
    """
    cases = [shop.cases[user] for user in users]
    masked = [np.unique(case.history.items) for case in cases]
    relevant = [np.setdiff1d(case.targets, seen) for case, seen in zip(cases, masked, strict=True)]

    def recall(queries_QD: NDArray[np.floating], items_ND: NDArray[np.floating]) -> float:
        ranks = rank_relevant(lambda rows: queries_QD[rows] @ items_ND.T, relevant, masked=masked)
        return float(np.nanmean(ranks.recall(10)))

    items, queries = spaces.items, spaces.users[users]
    return recall(queries.new_ND, items.new_ND), min(
        recall(queries.new_ND @ rotation_DD, items.old_ND),
        recall(queries.old_ND, items.new_ND @ rotation_DD),
    )
