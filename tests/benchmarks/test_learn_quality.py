"""How well LEARN ranks what users meet next on two public shops, beside what needs no training.

    pytest tests/benchmarks/test_learn_quality.py -m bench

Every figure is of the time held out. Trained rows are means over three seeds, with the spread.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import learn_shops
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from result_tables import table

from encoders.learn.evaluation import both_ways, tower_ranker, user_scores
from encoders.learn.history import Case, History
from encoders.learn.rules import Ranker, Rules, faded_histories
from encoders.learn.training import Trained, train
from encoders.learn.whitening import fitted_whitening
from encoders.settings import LearnConfig

pytestmark = [pytest.mark.bench, pytest.mark.timeout(6 * 3600)]

PAGE = ("learn-quality", "LEARN: what users meet next, on two public shops")
SEEDS = (0, 1, 2)
# Of the towers' cosine beside the neighbour blend, where both are added up.
COSINE_WEIGHT = 5.0
# Of EASE; in the middle of what its paper tries, and not tuned.
EASE_RIDGE = 500.0
METRICS = ("recall@10", "ndcg@10", "recall@10_unmasked", "ndcg@10_unmasked", "rare")
COLUMNS = ["", "R@10", "N@10", "R@10, repeats count", "N@10, repeats count", "R@10, rare items"]
Figures = Mapping[str, float]


def test_towers_beside_the_rules(
    shop: learn_shops.Shop, contents_NC: NDArray[np.float32], sections: list[str]
) -> None:
    config = LearnConfig()
    rows = {name: [figures(ranker, shop)] for name, ranker in untrained(shop, contents_NC).items()}
    seconds, curves = [], []
    for seed in SEEDS:
        started = time.monotonic()
        trained = _trained(shop, contents_NC, replace(config, seed=seed))
        seconds.append(time.monotonic() - started)
        curves.append([f"{row['ndcg@10']:.4f}" for row in trained.curve])
        learned = _ranker(trained, contents_NC)
        both = _added(learned, rules(shop, contents_NC)["neighbour_blend"])
        rows.setdefault("LEARN, vectors alone", []).append(figures(learned, shop))
        rows.setdefault("LEARN + neighbour_blend", []).append(figures(both, shop))

    judged = len(user_scores(lambda h: np.zeros((len(h), len(shop.texts))), shop.cases)["ndcg@10"])
    sections.append(
        f"## {shop.name}\n\n{len(shop.texts):,} items, {len(shop.before):,} users; "
        f"{judged:,} users judged. Seeds {SEEDS}; training took "
        f"{', '.join(f'{s:.0f}' for s in seconds)} s, both runs.\n\n"
        f"{table(COLUMNS, [_row(name, its) for name, its in rows.items()])}\n\n"
        "N@10 of the users watched, by epoch: "
        + "; ".join(f"seed {s}: {', '.join(c)}" for s, c in zip(SEEDS, curves, strict=True))
    )
    assert _mean(rows["LEARN, vectors alone"], "ndcg@10") > _mean(rows["nearest_text"], "ndcg@10")


def test_what_each_part_adds(
    shop: learn_shops.Shop, contents_NC: NDArray[np.float32], sections: list[str]
) -> None:
    nothing = np.random.default_rng(0).normal(size=contents_NC.shape).astype(np.float32)
    variants: Mapping[str, tuple[NDArray[np.float32], LearnConfig]] = {
        "all": (contents_NC, LearnConfig()),
        "no factors: content and events alone": (contents_NC, LearnConfig(behaviour_dropout=1.0)),
        "no content: noise in its place": (nothing, LearnConfig()),
        "no label from the rule": (contents_NC, LearnConfig(rule_share=0.0)),
        "128 numbers": (contents_NC, LearnConfig(dim=128)),
    }
    rows = []
    for name, (contents, config) in variants.items():
        trained = _trained(shop, contents, config)
        rows.append(_row(name, [figures(_ranker(trained, contents), shop)]))
    sections.append(f"## {shop.name}: parts left out, seed 0\n\n{table(COLUMNS, rows)}")


def figures(ranker: Ranker, shop: learn_shops.Shop) -> Figures:
    """Return the metrics of the held-out time, and recall of items of at most five events."""
    events_N = np.bincount(
        np.concatenate([history.items for history in shop.before]), minlength=len(shop.texts)
    )
    rare = [Case(c.history, c.targets[events_N[c.targets] <= 5]) for c in shop.cases]
    means = {name: float(of.mean()) for name, of in both_ways(ranker, shop.cases).items()}
    return means | {"rare": float(user_scores(ranker, rare, mask_seen=False)["recall@10"].mean())}


def untrained(shop: learn_shops.Shop, contents_NC: NDArray[np.float32]) -> dict[str, Ranker]:
    """Return what needs no gradient: the rules and EASE."""
    return {**rules(shop, contents_NC), "EASE": ease(shop, EASE_RIDGE)}


def rules(shop: learn_shops.Shop, contents_NC: NDArray[np.float32]) -> dict[str, Ranker]:
    """Return the rules by name."""
    content = torch.from_numpy(contents_NC)
    whitening = fitted_whitening(content, max_width=1024, ridge=LearnConfig().ridge)
    return dict(Rules(whitening(content), shop.before).by_name)


def ease(shop: learn_shops.Shop, ridge: float) -> Ranker:
    """Rank by a linear model of all items at once, in closed form (Steck, WWW 2019)."""
    n_items = len(shop.texts)
    met = faded_histories([h for h in shop.before if len(h)], n_items, decay=1.0)
    met.data[:] = 1
    gram_NN = (met.T @ met).toarray().astype(np.float64)
    gram_NN[np.diag_indices(n_items)] += ridge
    inverse_NN = np.linalg.inv(gram_NN)
    weights_NN = (inverse_NN / -np.diag(inverse_NN)).astype(np.float32)
    np.fill_diagonal(weights_NN, 0)

    def ranker(users: Sequence[History]) -> NDArray[np.float32]:
        seen = faded_histories(users, n_items, decay=1.0)
        return sp.csr_array(seen > 0).astype(np.float32) @ weights_NN

    return ranker


def _trained(
    shop: learn_shops.Shop, contents_NC: NDArray[np.float32], config: LearnConfig
) -> Trained:
    return train(contents_NC, shop.before, config, watched_from=shop.watched_from, device="cpu")


def _ranker(trained: Trained, contents_NC: NDArray[np.float32]) -> Ranker:
    read = (torch.from_numpy(contents_NC), torch.from_numpy(trained.behaviour_NF))
    with torch.inference_mode():
        return tower_ranker(trained.towers, trained.towers.inputs(*read))


def _added(learned: Ranker, rule: Ranker) -> Ranker:
    return lambda users: COSINE_WEIGHT * learned(users) + rule(users)


def _row(name: str, figures: Sequence[Figures]) -> list[str]:
    return [name, *(_cell([its[metric] for its in figures]) for metric in METRICS)]


def _cell(values: Sequence[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{spread}"


def _mean(figures: Sequence[Figures], metric: str) -> float:
    return float(np.mean([its[metric] for its in figures]))
