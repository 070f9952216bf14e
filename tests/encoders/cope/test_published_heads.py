from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.artifacts import load_artifact, save_artifact
from encoders.cope import published_training
from encoders.cope.cross_validation import Recipe, ablations, beside
from encoders.cope.items import Features
from encoders.cope.model import CopeEncoder, heads_artifact, load_heads
from encoders.cope.published_heads import PublishedConfig, PublishedHeads
from encoders.cope.sampling import CopeData
from encoders.cope.training import TrainedCope, train
from encoders.protocol import Batch
from encoders.settings import CopeConfig

DOMAINS = ("page", "video", "live")
CONFIG = CopeConfig(dim=16, heads="published")


@pytest.fixture
def heads() -> PublishedHeads:
    torch.manual_seed(0)
    heads = PublishedHeads(PublishedConfig(image_widths=(4, 2), text_width=5, dim=8, hidden=3))
    for parameter in heads.parameters():
        torch.nn.init.normal_(parameter)
    return heads.eval()


@pytest.fixture
def trained(make_world: Callable[..., CopeData], monkeypatch: pytest.MonkeyPatch) -> TrainedCope:
    monkeypatch.setattr(published_training, "_STEPS", 100)
    return train(make_world(), CONFIG, image_widths=[24], domains=DOMAINS)


def test_each_domain_has_a_fusion_of_its_own(heads: PublishedHeads) -> None:
    domain_B = torch.tensor([1, 0, 2])
    image_BI, text_BT = torch.rand(3, 6), torch.rand(3, 5)
    text_BT[2] = 0  # missing

    emb_BD = heads.fused(domain_B, image_BI, text_BT)

    for row, domain in enumerate(domain_B.tolist()):
        image_H = heads.images[domain](image_BI[row])
        text_H = heads.no_text_NH[2] if row == 2 else heads.texts[domain](text_BT[row])
        expected_D = heads.fusions[domain](torch.cat((image_H, text_H)))
        torch.testing.assert_close(emb_BD[row], expected_D / expected_D.norm())


def test_an_item_without_anything_has_no_vector(heads: PublishedHeads, batch: Batch) -> None:
    found = CopeEncoder("cope@0123456789ab", heads).encode(batch).vectors["embedding"]

    assert np.isnan(found).all(axis=1).tolist() == [False] * 5 + [True]
    np.testing.assert_allclose(np.linalg.norm(found[:5], axis=1), 1, atol=1e-6)


def test_trained_heads_are_ahead_of_the_backbones_and_the_same_again(
    trained: TrainedCope, make_world: Callable[..., CopeData]
) -> None:
    again = train(make_world(), CONFIG, image_widths=[24], domains=DOMAINS)

    ours, raw = (trained.metrics[name] for name in ("test_mean_R@1", "test_raw_mean_R@1"))
    assert float(str(ours)) > float(str(raw)) + 0.2
    assert trained.heads.config.trained == DOMAINS
    states = [made.heads.state_dict() for made in (trained, again)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_what_is_saved_is_what_is_loaded(
    trained: TrainedCope, make_world: Callable[..., CopeData], tmp_path: Path
) -> None:
    items = make_world().items
    batch = {
        "domain": [DOMAINS[row] for row in items.domain_B.tolist()],
        "image_features": list(items.image_BI.numpy()),
        "text_features": list(items.text_BT.numpy()),
    }
    artifact = heads_artifact(trained.heads, "cope_features@0123456789ab", trained.metrics)

    loaded = load_heads(load_artifact(save_artifact(artifact, str(tmp_path))))

    with torch.no_grad():
        expected = trained.heads.double()(items)
    np.testing.assert_allclose(
        loaded.encode(batch).vectors["embedding"], expected.float().numpy(), atol=1e-6
    )


def test_items_of_nothing_are_not_learned_from(make_world: Callable[..., CopeData]) -> None:
    data = make_world(spus=8)
    image_NI, text_NT = data.items.image_BI.clone(), data.items.text_BT.clone()
    image_NI[::3], text_NT[::3] = torch.nan, torch.nan
    with_gaps = CopeData(Features(data.items.domain_B, image_NI, text_NT), data.spu_N, data.spu_ids)

    heads = train(with_gaps, CONFIG, image_widths=[24], domains=DOMAINS).heads

    assert all(bool(parameter.isfinite().all()) for parameter in heads.parameters())


def test_without_a_pair_they_stay_as_they_were_drawn(make_world: Callable[..., CopeData]) -> None:
    data = make_world(spus=6, items=1, domains=1)

    heads = train(data, CONFIG, image_widths=[24], domains=DOMAINS).heads

    assert heads.config.trained == ()
    assert not heads(data.items).isnan().any()


def test_they_are_a_row_of_the_ablation(make_world: Callable[..., CopeData]) -> None:
    rows = ablations(Recipe(make_world(spus=4), [24], CopeConfig()))

    published = rows["heads as published"]
    assert published.config.heads == "published"
    assert list(beside(published)) == ["backbones alone"]
