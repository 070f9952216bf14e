from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from encoders.cope.evaluation import (
    directions,
    item_vectors,
    mean_of,
    means,
    retrieval,
    scores_by_spu,
    similarities,
)
from encoders.cope.items import Features
from encoders.cope.sampling import CopeData, Parts


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


def test_an_item_is_as_near_as_the_nearest_of_its_vectors() -> None:
    rng = np.random.default_rng(0)
    scenes_QPD, pages_CD = rng.normal(size=(6, 4, 8)), rng.normal(size=(9, 8))
    scenes_QPD[2, 1:] = np.nan  # no part
    scenes_QPD[3] = np.nan  # nothing at all
    scenes_QPD[:, 2] = np.nan  # a part that no scene has
    expected = np.full((6, 9), np.nan)
    for row, vectors in enumerate(scenes_QPD):
        there = vectors[~np.isnan(vectors[:, 0])]
        if len(there):
            expected[row] = (there @ pages_CD.T).max(axis=0)

    found = similarities(torch.from_numpy(scenes_QPD), torch.from_numpy(pages_CD))
    turned = similarities(torch.from_numpy(pages_CD), torch.from_numpy(scenes_QPD))

    np.testing.assert_allclose(found.numpy(), expected)
    np.testing.assert_allclose(turned.numpy(), expected.T)


def test_parts_are_items_with_the_text_of_their_scene(make_world: Callable[..., CopeData]) -> None:
    data = make_world(spus=3, items=2, domains=2)
    image_VI = torch.rand(4, data.items.image_BI.shape[1])
    parts = Parts(image_VI, item_V=torch.tensor([1, 1, 4, 4]), part_V=torch.tensor([0, 1, 0, 1]))

    def both(items: Features) -> torch.Tensor:
        return torch.cat((items.domain_B.unsqueeze(1), items.image_BI, items.text_BT), dim=1)

    emb_NPD = item_vectors(both, replace(data, parts=parts))

    torch.testing.assert_close(item_vectors(both, data), both(data.items), equal_nan=True)
    torch.testing.assert_close(emb_NPD[:, 0], both(data.items), equal_nan=True)
    scene = data.items[torch.tensor([4])]
    expected = both(replace(scene, image_BI=image_VI[3:]))
    torch.testing.assert_close(emb_NPD[4, 2:], expected, equal_nan=True)
    is_scene_N = torch.tensor([row in (1, 4) for row in range(len(data.items))])
    assert emb_NPD[~is_scene_N, 1:].isnan().all()


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
