"""Rows of LEARN's results: rankers of a public shop, and what they reach on its held-out time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from kept_pieces import Piece
from learn_shops import Shop
from numpy.typing import NDArray
from paper_training import PaperTraining

from encoders.learn.baselines.ease import best_ridge, ease
from encoders.learn.baselines.sasrec import SasRecConfig, sasrec_ranker
from encoders.learn.baselines.sasrec_training import trained_sasrec
from encoders.learn.evaluation import Judged, judged_ranker, tower_ranker, user_scores
from encoders.learn.history import Case
from encoders.learn.rules import Ranker, Rules, added, recent_popularity
from encoders.learn.training import Trained, train
from encoders.learn.transformer_towers import TransformerConfig, TransformerTowers
from encoders.learn.whitening import Whitening, fitted_whitening
from encoders.resampling import difference, scores_of_users
from encoders.settings import LearnConfig

Contents = NDArray[np.float32]
RARE = 5
_WATCHED = 2_000
_PAPER_EPOCHS = 5
_PAPER_WIDTH = 64


def untrained_rows(shop: Shop, contents_NC: Contents) -> Piece:
    """Return the figures of the rules, and of EASE, its ridge chosen on what is watched."""
    n_items = len(shop.texts)
    ridge = best_ridge(shop.before, shop.watched_from, n_items)
    rankers: Mapping[str, Ranker] = {
        **rules(shop, contents_NC).by_name,
        "recent_popularity": recent_popularity(shop.before, shop.watched_from, n_items),
        "ease": ease(shop.before, n_items, ridge=ridge),
    }
    return {"rows": {name: figures(of, shop) for name, of in rankers.items()}, "ridge": ridge}


def learn_rows(shop: Shop, contents_NC: Contents, config: LearnConfig) -> Piece:
    """Return the figures of the vectors alone, and of vectors and the rule that they learned from.

    Both the rule and the weight of the vectors beside it are the training's, chosen on the users
    watched.
    """
    trained = train(contents_NC, shop.before, config, watched_from=shop.watched_from, device="cpu")
    learned = _tower_ranker(trained, contents_NC)
    rule = rules(shop, contents_NC).blends[trained.teacher]
    both = added(rule, learned, trained.weight)
    ranked = {"vectors": learned, "both": both, "rule": rule}
    judged = {name: judged_ranker(of, shop.cases, shop.events_N) for name, of in ranked.items()}
    of_rule = scores_of_users(judged["rule"].by_user["ndcg@10"])
    return {
        "rows": {name: _with_more(its, ranked[name], shop) for name, its in judged.items()},
        "leads": {
            name: vars(difference(scores_of_users(its.by_user["ndcg@10"]), of_rule))
            for name, its in judged.items()
        },
        "curve": [row["ndcg@10"] for row in trained.curve],
        "watched_rule": trained.watched[trained.teacher]["ndcg@10"],
        "teacher": trained.teacher,
        "weight": trained.weight,
    }


def sasrec_rows(shop: Shop, config: SasRecConfig) -> Piece:
    """Return the figures of SASRec."""
    trained = trained_sasrec(shop.before, shop.watched_from, len(shop.texts), config)
    rows = {"sasrec": figures(sasrec_ranker(trained.network), shop)}
    return {"rows": rows, "curve": trained.curve, "dropout": config.dropout}


def paper_rows(
    shop: Shop, contents_NC: Contents, *, item_tower: str, recency: bool, seed: int
) -> Piece:
    """Return the figures of towers as published: untrained, and after the epoch that ranks best.

    They learn from what lies before what is watched, and are not trained again.
    """
    content = torch.from_numpy(contents_NC)
    whitening = fitted_whitening(content, max_width=256, ridge=LearnConfig().ridge)
    white_NK = whitening(content)
    torch.manual_seed(seed)
    towers = TransformerTowers(
        TransformerConfig(
            *whitening.map_CK.shape,
            width=_PAPER_WIDTH,
            item_tower=item_tower,  # type: ignore[arg-type]
        )
    )
    learners = [h.until(size) for h, size in zip(shop.before, shop.watched_from, strict=True)]
    cases = _watched(shop, seed)
    run = PaperTraining(towers, white_NK, recency=recency, epochs=_PAPER_EPOCHS)
    epochs = []
    for epoch in range(_PAPER_EPOCHS + 1):
        loss = run.one_epoch(learners, epoch, seed=seed) if epoch else float("nan")
        ranker = tower_ranker(towers.eval(), white_NK)
        watched = float(user_scores(ranker, cases)["ndcg@10"].mean())
        epochs.append({"watched": watched, "loss": loss, **_to_hundred(ranker, shop)})
        towers.train()
    best = max(epochs[1:], key=lambda row: row["watched"])
    return {"rows": {"untrained": epochs[0], "best": best, "last": epochs[-1]}, "epochs": epochs}


def figures(ranker: Ranker, shop: Shop) -> dict[str, float]:
    """Return the metrics of the held-out time."""
    return _with_more(judged_ranker(ranker, shop.cases, shop.events_N), ranker, shop)


def _with_more(judged: Judged, ranker: Ranker, shop: Shop) -> dict[str, float]:
    """Return figures, recall of items of ``RARE`` events among them, and those of shuffled days."""
    found = dict(judged.figures)
    rare = [(c, c.targets[shop.events_N[c.targets] <= RARE]) for c in shop.cases]
    of_rare = [Case(case.history, targets) for case, targets in rare if len(targets)]
    if of_rare:
        found["recall@10_rare"] = float(
            user_scores(ranker, of_rare, mask_seen=False)["recall@10"].mean()
        )
    if shop.shuffled:
        for metric, of_users in user_scores(ranker, shop.shuffled).items():
            found[f"{metric}_shuffled"] = float(of_users.mean())
    return found


def rules(shop: Shop, contents_NC: Contents) -> Rules:
    """Return the rules over what users met before the cut."""
    whitening = _whitening(contents_NC, LearnConfig())
    return Rules(whitening(torch.from_numpy(contents_NC)), shop.before)


def _whitening(contents_NC: Contents, config: LearnConfig) -> Whitening:
    content = torch.from_numpy(contents_NC)
    return fitted_whitening(content, max_width=config.whitened_width, ridge=config.ridge)


def _tower_ranker(trained: Trained, contents_NC: Contents) -> Ranker:
    read = (torch.from_numpy(contents_NC), torch.from_numpy(trained.behaviour_NF))
    with torch.inference_mode():
        return tower_ranker(trained.towers, trained.towers.inputs(*read))


def _watched(shop: Shop, seed: int) -> Sequence[Case]:
    both: list[Any] = [
        Case(history.until(size), history.items[size:])
        for history, size in zip(shop.before, shop.watched_from, strict=True)
        if 0 < size < len(history)
    ]
    chosen = np.random.default_rng(seed).permutation(len(both))[:_WATCHED]
    return [both[row] for row in sorted(chosen.tolist())]


def _to_hundred(ranker: Ranker, shop: Shop) -> dict[str, float]:
    """Return nDCG@10, recall@10 and recall@100, the paper's figure."""
    ten, hundred = (user_scores(ranker, shop.cases, k=k) for k in (10, 100))
    return {name: float(of.mean()) for name, of in {**ten, **hundred}.items()}
