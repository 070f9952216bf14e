from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from encoders.cope.evaluation import directions, mean_of, means, retrieval, scores_by_spu
from encoders.cope.items import Features
from encoders.cope.sampling import CopeData


def test_retrieval_agrees_with_counting_by_hand() -> None:
    rng = np.random.default_rng(0)
    queries, candidates = rng.normal(size=(30, 8)), rng.normal(size=(50, 8))
    query_spu, candidate_spu = rng.integers(0, 12, 30), rng.integers(0, 10, 50)
    known = [row for row in range(30) if query_spu[row] in candidate_spu]
    scores = queries @ candidates.T
    ranked = np.argsort(-scores, axis=1)

    found = retrieval(
        *(torch.from_numpy(x) for x in (queries, query_spu, candidates, candidate_spu))
    )

    assert found is not None
    assert found.spu_Q.tolist() == query_spu[known].tolist()
    for k in (1, 5, 10):
        hits = [query_spu[row] in candidate_spu[ranked[row, :k]] for row in known]
        assert found.scores[f"R@{k}"].tolist() == hits
        assert found.means[f"R@{k}"] == pytest.approx(np.mean(hits))
    precisions = [
        average_precision_score(candidate_spu == query_spu[row], scores[row]) for row in known
    ]
    assert found.means["mAP"] == pytest.approx(np.mean(precisions))


def test_a_query_without_a_positive_does_not_count() -> None:
    one = torch.ones(1, 2)

    assert retrieval(one, torch.tensor([7]), one, torch.tensor([8])) is None


def test_directions_within_one_domain_never_find_the_query_itself() -> None:
    emb = torch.eye(4)
    data = CopeData(
        Features(torch.zeros(4, dtype=torch.long), emb, emb), torch.tensor([0, 1, 1, 0]), ["a", "b"]
    )

    figures = means(directions(emb, data, ("page",)))

    # Items 0 and 1 are queries, 2 and 3 candidates; all are orthogonal: a tie, the first is taken.
    assert list(figures) == ["page>page"]
    assert figures["page>page"]["R@1"] == 0.5
    assert figures["page>page"]["R@5"] == 1


def test_scores_by_spu_have_the_mean_of_the_directions(make_world: Callable[..., CopeData]) -> None:
    data = make_world(spus=7)
    emb = torch.nn.functional.normalize(data.items.image_BI, dim=1)
    retrieved = directions(emb, data, ("page", "video", "live"))

    scores = scores_by_spu(retrieved, "MRR")

    assert scores.cases_KG.shape == (6, 7)
    assert scores.cases_KG.sum() == 6 * 7 * 3
    assert scores.figure == pytest.approx(mean_of(retrieved, "MRR"))


def test_an_item_without_a_vector_is_never_found_and_finds_nothing() -> None:
    nothing = torch.full((2,), torch.nan)
    queries = torch.stack([torch.tensor([1.0, 0.0]), nothing])
    candidates = torch.stack([nothing, torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.1])])

    found = retrieval(queries, torch.tensor([0, 1]), candidates, torch.tensor([0, 1, 0]))

    assert found is not None
    assert found.scores["R@1"].tolist() == [1, 0]
    assert found.scores["R@10"].tolist() == [1, 0]
    assert found.scores["mAP"].tolist() == [0.5, 0]
    assert found.scores["MRR"].tolist() == [1, 0]
