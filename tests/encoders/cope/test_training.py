from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from encoders.cope.evaluation import mean_of
from encoders.cope.losses import warm_up_and_cosine
from encoders.cope.model import CopeHeads, Features
from encoders.cope.sampling import CopeData
from encoders.cope.training import NothingToTrainOn, TrainedCope, train
from encoders.settings import CopeConfig

pytestmark = pytest.mark.heavy

MakeWorld = Callable[..., CopeData]
SMALL = CopeConfig(dim=16, epochs=6, batch_size=16, patience=6)


def _same(left: CopeHeads, right: CopeHeads) -> bool:
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_heads_beat_the_raw_features_on_products_not_trained_on(
    make_world: MakeWorld, seed: int
) -> None:
    trained = train(make_world(spus=60, seed=seed), replace(SMALL, held_out=0.4, seed=seed))

    assert trained.metrics["test_mean_R@1"] > trained.metrics["test_raw_mean_R@1"] + 0.05  # type: ignore[operator]


def test_training_reports_six_directions_and_the_curve(make_world: MakeWorld) -> None:
    metrics = train(make_world(), replace(SMALL, learning_rate=1e-2)).metrics

    assert set(metrics["test"]) == {  # type: ignore[call-overload]
        f"{left}>{right}"
        for left in ("page", "video", "live")
        for right in ("page", "video", "live")
        if left != right
    }
    curve = metrics["curve"]
    assert isinstance(curve, list)
    assert [point["epoch"] for point in curve] == list(range(7))
    assert curve[-1]["loss"] < curve[1]["loss"]


def test_training_twice_gives_the_same_heads(make_world: MakeWorld) -> None:
    assert _same(train(make_world(), SMALL).heads, train(make_world(), SMALL).heads)


def test_another_seed_gives_other_heads(make_world: MakeWorld) -> None:
    assert not _same(
        train(make_world(), SMALL).heads, train(make_world(), replace(SMALL, seed=1)).heads
    )


class Killed(Exception):
    pass


@pytest.mark.parametrize("cosface", [False, True])
def test_a_killed_training_ends_where_an_uninterrupted_one_does(
    make_world: MakeWorld, tmp_path: Path, cosface: bool
) -> None:
    config = replace(SMALL, cosface=cosface)
    checkpoint = str(tmp_path / "training" / "cope.safetensors")
    epochs: list[int] = []

    def kill(done: int, _: int) -> None:
        epochs.append(done)
        if len(epochs) == 3:
            raise Killed

    with pytest.raises(Killed):
        train(make_world(), config, checkpoint=checkpoint, progress=kill)
    resumed = train(make_world(), config, checkpoint=checkpoint, progress=kill)

    whole = train(make_world(), config)
    assert epochs == [1, 2, 3, 4, 5, 6]
    assert _same(resumed.heads, whole.heads)
    assert resumed.metrics == whole.metrics


def test_a_checkpoint_of_other_data_is_not_resumed_from(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    checkpoint = str(tmp_path / "cope.safetensors")
    train(make_world(seed=1), SMALL, checkpoint=checkpoint)

    resumed = train(make_world(), SMALL, checkpoint=checkpoint)

    assert _same(resumed.heads, train(make_world(), SMALL).heads)


def test_training_stops_when_validation_no_longer_improves(make_world: MakeWorld) -> None:
    metrics = train(make_world(), replace(SMALL, epochs=60, patience=2)).metrics

    assert len(metrics["curve"]) - 1 == int(str(metrics["best_epoch"])) + 2  # type: ignore[arg-type]


def test_a_catalogue_of_pages_alone_learns_from_pairs_of_pages(make_world: MakeWorld) -> None:
    config = replace(SMALL, dim=24, held_out=0.4)
    trained = train(make_world(spus=150, domains=1), config)

    assert list(trained.metrics["test"]) == ["page>page"]  # type: ignore[call-overload]
    assert trained.metrics["test_mean_R@1"] > trained.metrics["test_raw_mean_R@1"]  # type: ignore[operator]
    assert trained.heads.share_N.gt(0).tolist() == [True, False, False]


def test_without_any_pair_the_raw_part_is_served(make_world: MakeWorld) -> None:
    trained = train(make_world(items=1, domains=1), SMALL)

    assert trained.heads.share_N.tolist() == [0, 0, 0]
    assert trained.metrics["test"] == {}


def test_items_without_any_features_are_refused() -> None:
    nothing = Features(
        torch.zeros(2, dtype=torch.long),
        torch.full((2, 3), torch.nan),
        torch.full((2, 2), torch.nan),
    )

    with pytest.raises(NothingToTrainOn, match="of 2"):
        train(CopeData(nothing, torch.tensor([0, 1]), ["a", "b"]), SMALL)


def test_the_learning_rate_warms_up_and_then_falls_to_nothing() -> None:
    factors = [warm_up_and_cosine(step / 100) for step in range(101)]

    peak = factors.index(max(factors))
    assert peak == 10
    assert factors[:11] == sorted(factors[:11])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] == pytest.approx(0)


def test_mean_of_no_direction_is_zero() -> None:
    assert mean_of({}, "R@1") == 0


def _encoded(trained: TrainedCope, data: CopeData) -> torch.Tensor:
    with torch.no_grad():
        return trained.heads(data.items)


@pytest.mark.parametrize("modality", ["image_BI", "text_BT"])
def test_one_content_for_a_whole_domain_is_as_good_as_none(
    make_world: MakeWorld, modality: str
) -> None:
    data, alike, absent = (make_world() for _ in range(3))
    pages = data.items.domain_B == 0
    getattr(alike.items, modality)[pages] = getattr(data.items, modality)[pages][0]
    getattr(absent.items, modality)[pages] = torch.nan

    trained = train(alike, SMALL)

    expected = _encoded(train(absent, SMALL), absent)
    torch.testing.assert_close(_encoded(trained, alike), expected, rtol=0, atol=0)
    assert trained.metrics["test"] == train(absent, SMALL).metrics["test"]
    assert trained.metrics["test_raw"] == train(absent, SMALL).metrics["test_raw"]


def test_one_other_title_in_a_domain_makes_no_content_of_the_equal_ones(
    make_world: MakeWorld,
) -> None:
    data = make_world()
    pages = torch.nonzero(data.items.domain_B == 0).squeeze(1)
    data.items.text_BT[pages[1:]] = data.items.text_BT[pages[1]].clone()

    trained = train(data, SMALL)

    absent = make_world()
    absent.items.text_BT[pages] = torch.nan
    rows = pages[1:]
    found, expected = (_encoded(trained, its)[rows] for its in (data, absent))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_domain_that_says_nothing_at_all_spoils_no_training(make_world: MakeWorld) -> None:
    data = make_world(spus=60)
    live = data.items.domain_B == 2
    for features in (data.items.image_BI, data.items.text_BT):
        features[live] = features[live][0].clone()

    trained = train(data, replace(SMALL, held_out=0.4))

    emb = _encoded(trained, data)
    assert emb[live].isnan().all()
    assert emb[~live].isfinite().all()
    assert trained.heads.share_N.gt(0).tolist() == [True, True, False]
    assert trained.metrics["test"]["live>page"]["R@1"] == 0  # type: ignore[index]
