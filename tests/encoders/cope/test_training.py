from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from encoders.cope import training
from encoders.cope.evaluation import mean_of
from encoders.cope.items import Features
from encoders.cope.sampling import CopeData
from encoders.cope.shared_map import SharedMap
from encoders.cope.training import NothingToTrainOn, TrainedCope, train
from encoders.cope.word_features import word_features
from encoders.settings import CopeConfig

pytestmark = pytest.mark.heavy

MakeWorld = Callable[..., CopeData]
SMALL = CopeConfig(dim=16, steps=50, batch_size=16)
WIDTHS = [14, 10]  # of the world's pictures, as if of two backbones


def _same(left: SharedMap, right: SharedMap) -> bool:
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def _train(data: CopeData, config: CopeConfig, **given: Any) -> TrainedCope:
    return train(data, config, image_widths=WIDTHS, **given)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_heads_beat_the_raw_features_on_products_not_trained_on(
    make_world: MakeWorld, seed: int
) -> None:
    trained = _train(make_world(spus=60, seed=seed), replace(SMALL, held_out=0.4, seed=seed))

    assert trained.metrics["test_mean_R@1"] > trained.metrics["test_raw_mean_R@1"] + 0.05  # type: ignore[operator]


def test_words_in_pictures_tell_products_apart_that_look_alike(make_world: MakeWorld) -> None:
    data = make_world(spus=60)
    names = [f"brand{number * 7919 % 100_003}" for number in data.spu_N.tolist()]
    words_NW = torch.from_numpy(word_features(names))
    words_NW[::3] = 0  # not every picture shows them
    text_NX = torch.cat((data.items.text_BT.nan_to_num(), words_NW), dim=1)
    read = replace(data, items=replace(data.items, text_BT=text_NX))
    config = replace(SMALL, dim=64, held_out=0.4)

    without = _train(data, config)
    trained = _train(read, config, words_width=words_NW.shape[1])

    assert trained.heads.config.spelling_dim == 16 + 3
    assert trained.metrics["test_mean_R@1"] > without.metrics["test_mean_R@1"] + 0.05  # type: ignore[operator]
    # The backbones' own features are the same baseline.
    assert trained.metrics["test_raw_mean_R@1"] == without.metrics["test_raw_mean_R@1"]


def test_training_reports_six_directions_the_choices_and_the_curve(make_world: MakeWorld) -> None:
    metrics: Any = _train(make_world(), SMALL).metrics

    assert set(metrics["test"]) == {
        f"{left}>{right}"
        for left in ("page", "video", "live")
        for right in ("page", "video", "live")
        if left != right
    }
    assert [point["steps"] for point in metrics["curve"]] == [0, 50]
    assert set(metrics["chosen"]) == {"image_weight", "text_weight", "steps", "calibration"}
    assert metrics["lead"]["mean"] == pytest.approx(
        metrics["test_mean_R@1"] - metrics["test_raw_mean_R@1"]
    )


def test_training_twice_gives_the_same_heads(make_world: MakeWorld) -> None:
    assert _same(_train(make_world(), SMALL).heads, _train(make_world(), SMALL).heads)


@pytest.mark.parametrize("cosface", [False, True])
def test_the_seed_decides_how_gradients_go(make_world: MakeWorld, cosface: bool) -> None:
    config = replace(SMALL, cosface=cosface)
    curves: Any = [
        _train(make_world(), replace(config, seed=seed)).metrics["curve"] for seed in (0, 1)
    ]

    assert curves[0][0] == curves[1][0]
    assert curves[0][1] != curves[1][1]


class Killed(Exception):
    pass


def test_a_killed_training_goes_on_with_what_it_had_chosen(
    make_world: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = str(tmp_path / "training" / "cope.safetensors")

    def kill(done: int, of: int) -> None:
        raise Killed

    def chosen_again(*_: object, **__: object) -> None:
        raise AssertionError

    with pytest.raises(Killed):
        _train(make_world(), SMALL, checkpoint=checkpoint, progress=kill)
    whole = _train(make_world(), SMALL)
    monkeypatch.setattr(training, "best_choice", chosen_again)
    resumed = _train(make_world(), SMALL, checkpoint=checkpoint)

    assert _same(resumed.heads, whole.heads)
    assert resumed.metrics == whole.metrics


def test_a_checkpoint_of_other_data_is_not_resumed_from(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    checkpoint = str(tmp_path / "cope.safetensors")
    _train(make_world(seed=1), SMALL, checkpoint=checkpoint)

    resumed = _train(make_world(), SMALL, checkpoint=checkpoint)

    assert _same(resumed.heads, _train(make_world(), SMALL).heads)


def test_a_catalogue_of_pages_alone_learns_from_pairs_of_pages(make_world: MakeWorld) -> None:
    config = replace(SMALL, dim=24, held_out=0.4)
    trained = _train(make_world(spus=150, domains=1), config)

    assert list(trained.metrics["test"]) == ["page>page"]  # type: ignore[call-overload]
    assert trained.metrics["test_mean_R@1"] > trained.metrics["test_raw_mean_R@1"]  # type: ignore[operator]
    assert trained.heads.config.trained == ("page",)


def test_without_any_pair_reduced_raw_features_are_served(make_world: MakeWorld) -> None:
    trained = _train(make_world(items=1, domains=1), SMALL)

    assert trained.heads.config.trained == ()
    assert trained.metrics["test"] == {}


@pytest.mark.parametrize("spus", [2, 3, 6])
def test_a_handful_of_spus_is_enough_to_train(make_world: MakeWorld, spus: int) -> None:
    trained = _train(make_world(spus=spus), replace(SMALL, held_out=0.0))

    assert torch.isfinite(_encoded(trained, make_world(spus=spus))).all()
    assert trained.metrics["lead"] is None


def test_items_without_any_features_are_refused() -> None:
    nothing = Features(
        torch.zeros(2, dtype=torch.long),
        torch.full((2, 24), torch.nan),
        torch.full((2, 2), torch.nan),
    )

    with pytest.raises(NothingToTrainOn, match="of 2"):
        _train(CopeData(nothing, torch.tensor([0, 1]), ["a", "b"]), SMALL)


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

    trained = _train(alike, SMALL)

    expected = _encoded(_train(absent, SMALL), absent)
    torch.testing.assert_close(_encoded(trained, alike), expected, rtol=0, atol=0)
    assert trained.metrics["test"] == _train(absent, SMALL).metrics["test"]
    assert trained.metrics["test_raw"] == _train(absent, SMALL).metrics["test_raw"]


def test_one_other_title_in_a_domain_makes_no_content_of_the_equal_ones(
    make_world: MakeWorld,
) -> None:
    data = make_world()
    pages = torch.nonzero(data.items.domain_B == 0).squeeze(1)
    data.items.text_BT[pages[1:]] = data.items.text_BT[pages[1]].clone()

    trained = _train(data, SMALL)

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

    trained = _train(data, replace(SMALL, held_out=0.4))

    emb = _encoded(trained, data)
    assert emb[live].isnan().all()
    assert emb[~live].isfinite().all()
    assert trained.heads.config.trained == ("page", "video")
    assert trained.metrics["test"]["live>page"]["R@1"] == 0  # type: ignore[index]
