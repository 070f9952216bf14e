"""How well the rules without training rank on two public shops, beside the rule they replace.

    pytest tests/benchmarks/test_learn_rules.py -m bench

Nothing is drawn: a second run gives the same figures.
"""

from collections.abc import Sequence

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from learn_shops import Shop
from numpy.typing import NDArray
from result_tables import table

from encoders.learn.batches import History
from encoders.learn.evaluation import Ranker, compared
from encoders.learn.rules import nearest_text, rules
from encoders.learn.towers import fitted_whitening
from encoders.settings import LearnConfig

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

METRICS = ("recall@10", "ndcg@10", "recall@10_unmasked", "ndcg@10_unmasked")


PAGE = ("learn-rules", "LEARN: rules without training")


def test_rules_rank_what_users_meet_next(
    shop: Shop, contents_NC: NDArray[np.float32], sections: list[str]
) -> None:
    content, defaults = torch.from_numpy(contents_NC), LearnConfig()
    whitening = fitted_whitening(content, max_width=defaults.whitened_width, ridge=defaults.ridge)
    white_NK = whitening(content)

    found = compared(
        {
            "co-occurrence with the last item, as before": last_item_blend(shop.before, white_NK),
            **rules(white_NK, shop.before),
        },
        shop.cases,
    )

    users = next(iter(found.values()))["users"]
    rows = [[name, *(f"{its[metric]:.4f}" for metric in METRICS)] for name, its in found.items()]
    columns = ["", "R@10", "N@10", "R@10, repeats count", "N@10, repeats count"]
    sections.append(
        f"## {shop.name}\n\n{len(shop.texts):,} items, {len(shop.before):,} users; "
        f"{users:,} users judged.\n\n{table(columns, rows)}\n"
    )
    assert max(found, key=lambda name: found[name]["ndcg@10"]).endswith("_blend")


def last_item_blend(sequences: Sequence[History], white_NK: torch.Tensor) -> Ranker:
    """Rank by log of the users who met both the last item and another, plus twice the text."""
    distinct = [np.unique(sequence) for sequence in sequences]
    users = np.repeat(np.arange(len(distinct)), [len(items) for items in distinct])
    pairs = (users, np.concatenate(distinct))
    met = sp.csr_array((np.ones(len(users), np.float32), pairs), (len(distinct), len(white_NK)))
    together = (met.T @ met).tocsr()
    together.setdiag(0)
    text = nearest_text(torch.nn.functional.normalize(white_NK, dim=1).numpy())

    def ranker(histories: Sequence[History]) -> np.ndarray:
        last = [history[-1] for history in histories]
        return np.log1p(together[last].toarray()) + 2 * text(histories)

    return ranker
