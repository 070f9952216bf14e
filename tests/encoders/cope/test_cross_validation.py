from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from encoders.cope import cross_validation
from encoders.cope.cross_validation import (
    Measured,
    Recipe,
    Split,
    ablations,
    beside,
    cross_validated,
    has_queries,
    random_split,
    split_figures,
    spreads,
)
from encoders.cope.items import Features
from encoders.cope.sampling import CopeData, Parts
from encoders.cope.word_features import WIDTH, word_features
from encoders.settings import CopeConfig

pytestmark = pytest.mark.heavy

DOMAINS = ("page", "video", "live")
MakeWorld = Callable[..., CopeData]


def _split(data: CopeData, seed: int = 0, share: float = 0.25) -> Split:
    return random_split(data, catalogue=0, share=share, seed=seed)


def test_nothing_of_a_new_product_is_learned_from(make_world: MakeWorld) -> None:
    data = make_world(spus=40)

    split = _split(data)
    learned = split.learned(data)

    new = set(torch.nonzero(split.new_S).squeeze(1).tolist())
    assert len(new) == 10
    assert not new & set(learned.spu_N.tolist())


def test_items_kept_back_are_of_trained_products_and_no_pages(make_world: MakeWorld) -> None:
    data = make_world(spus=40)

    split = _split(data)

    assert split.kept_N.any()
    assert not split.new_S[data.spu_N[split.kept_N]].any()
    assert (data.items.domain_B[split.kept_N] != 0).all()
    assert len(split.learned(data).items) == int(
        (~split.new_S[data.spu_N]).sum() - split.kept_N.sum()
    )


def test_pages_look_for_each_other_where_there_is_nothing_else(make_world: MakeWorld) -> None:
    split = _split(make_world(spus=20, domains=1), share=0)

    assert split.kept_N.sum() == 20
    assert not split.known_N.any()


def test_other_seeds_leave_other_products_out(make_world: MakeWorld) -> None:
    data = make_world(spus=40)

    assert _split(data, 3).new_S.tolist() == _split(data, 3).new_S.tolist()
    assert _split(data, 3).new_S.tolist() != _split(data, 4).new_S.tolist()


def test_a_product_of_one_item_is_never_new() -> None:
    spu_N = torch.tensor([0, 1, 1, 2, 2])
    nothing = torch.zeros(5, 2)
    data = CopeData(
        Features(torch.tensor([0, 0, 1, 0, 1]), nothing, nothing), spu_N, ["a", "b", "c"]
    )

    assert _split(data, share=1).new_S.tolist() == [False, True, True]
    assert has_queries(_split(data, share=1), data, DOMAINS)
    assert not has_queries(_split(data, share=0), data, DOMAINS)


def _scenes_of_two(data: CopeData) -> CopeData:
    """Return the items with videos that show two products, and a part of each product alone."""
    videos = torch.nonzero(data.items.domain_B == 1).squeeze(1)
    image_NI = data.items.image_BI.clone()
    other_NI = image_NI[videos.roll(7)]
    parts = Parts(
        torch.cat((image_NI[videos], other_NI)),
        item_V=videos.repeat(2),
        part_V=torch.arange(2).repeat_interleave(len(videos)),
    )
    image_NI[videos] += other_NI
    return replace(data, items=replace(data.items, image_BI=image_NI), parts=parts)


def test_items_of_scenes_are_found_by_a_part_of_their_picture(make_world: MakeWorld) -> None:
    data = _scenes_of_two(make_world(spus=60, items=2, domains=2, width=9))
    recipe = Recipe(data, [data.items.image_BI.shape[1]], CopeConfig(dim=16, steps=0))
    recipes = {"whole and parts": recipe, "whole": ablations(recipe)["no parts of scenes"]}

    found = {
        name: next(cross_validated(of, name, {0: _split(data)}, seed=0, domains=DOMAINS))[0].figures
        for name, of in recipes.items()
    }

    by_part, whole = (figures["video>page new R@1"] for figures in found.values())
    assert by_part > whole + 0.1
    other_way = [figures["page>video new R@1"] for figures in found.values()]
    assert other_way[0] > other_way[1]


def test_a_backbone_alone_sees_its_own_features_of_parts(make_world: MakeWorld) -> None:
    data = _scenes_of_two(make_world(spus=6))
    width = data.items.image_BI.shape[1]
    config = CopeConfig(image_backbones=("first", "second"))

    alone = ablations(Recipe(data, [2, width - 2], config))["second alone"].data

    assert data.parts is not None
    assert alone.parts is not None
    assert torch.equal(alone.parts.image_VI, data.parts.image_VI[:, 2:])
    assert torch.equal(alone.parts.item_V, data.parts.item_V)


def test_figures_agree_with_counting_by_hand(make_world: MakeWorld) -> None:
    data = make_world(spus=24, items=6, domains=2)
    split = _split(data)
    emb_ND = torch.nn.functional.normalize(data.items.image_BI, dim=1)
    emb, spu, domain = emb_ND.numpy(), data.spu_N.numpy(), data.items.domain_B.numpy()
    is_new = split.new_S.numpy()[spu]
    competing = is_new | split.kept_N.numpy() | (domain == 0)

    def hits(queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        nearest = (emb[queries] @ emb[candidates].T).argmax(axis=1)
        return spu[candidates][nearest] == spu[queries]

    found = split_figures(emb_ND, data, split, ("page", "video"))

    videos, pages = domain == 1, domain == 0
    new = hits(videos & is_new, pages & is_new).mean()
    mixed_new = hits(videos & is_new, pages & competing).mean()
    mixed_trained = hits(videos & split.kept_N.numpy(), pages & competing).mean()
    assert found["video>page new R@1"] == pytest.approx(new)
    assert found["video>page mixed new"] == pytest.approx(mixed_new)
    assert found["video>page mixed trained"] == pytest.approx(mixed_trained)
    assert found["video>page mixed"] == pytest.approx(
        2 * mixed_new * mixed_trained / (mixed_new + mixed_trained)
    )
    both = [found["page>video new R@1"], found["video>page new R@1"]]
    assert found["mean new R@1"] == pytest.approx(np.mean(both))


def test_without_new_products_figures_are_of_items_that_were_kept_back(
    make_world: MakeWorld,
) -> None:
    data = make_world(spus=24, items=6, domains=2)
    emb_ND = torch.nn.functional.one_hot(data.spu_N, 24).float()

    found = split_figures(emb_ND, data, _split(data, share=0), ("page", "video"))

    assert set(found) == {
        f"{direction} trained {figure}"
        for direction in ("mean", "page>video", "video>page")
        for figure in ("R@1", "mAP")
    }
    assert set(found.values()) == {1.0}


def test_one_shot_has_one_item_of_a_product_to_find(make_world: MakeWorld) -> None:
    data = make_world(spus=16, items=5, domains=2)
    # Of each product's pages the first alone is like its videos.
    emb_ND = torch.nn.functional.one_hot(data.spu_N, 16).float()
    first_N = torch.cat((torch.tensor([True]), data.spu_N.diff() != 0))
    emb_ND[(data.items.domain_B == 0) & ~first_N] *= -1

    found = split_figures(emb_ND, data, _split(data, share=1), ("page", "video"))

    assert found["video>page new R@1"] == 1
    assert found["video>page new one-shot"] < 0.6


def test_trainings_see_what_they_may_and_give_every_row(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_world(spus=40)
    seen: list[CopeData] = []
    train = cross_validation.train

    def watched(learned: CopeData, config: CopeConfig, **options: object) -> object:
        seen.append(learned)
        assert config.held_out == 0
        assert config.seed == 5
        return train(learned, config, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(cross_validation, "train", watched)
    splits: dict[int | None, Split] = {None: _split(data, share=0), 0: _split(data)}
    recipe = Recipe(data, [24], CopeConfig(dim=16, steps=10))

    found = list(
        cross_validated(recipe, "COPE", splits, seed=5, domains=DOMAINS, others=beside(recipe))
    )

    rows = ["COPE", "backbones alone", "no calibration"]
    assert [(its.row, its.split) for its, _ in found] == [
        (row, split) for split in (None, 0) for row in rows
    ]
    assert [len(learned.items) for learned in seen] == [
        len(split.learned(data).items) for split in splits.values()
    ]
    by_row = {its.row: its.figures["mean new R@1"] for its, _ in found if its.split == 0}
    assert by_row["COPE"] > by_row["backbones alone"]
    assert all(emb_ND.shape[0] == len(data.items) for _, emb_ND in found)


def test_parts_are_left_out_one_at_a_time(make_world: MakeWorld) -> None:
    data = make_world(spus=10)
    config = CopeConfig(image_backbones=("left", "right"))

    parts = ablations(Recipe(data, [10, 14], config))

    left, right = parts["left alone"], parts["right alone"]
    assert list(left.image_widths) == [10]
    torch.testing.assert_close(
        torch.cat((left.data.items.image_BI, right.data.items.image_BI), dim=1),
        data.items.image_BI,
    )
    assert parts["no text"].data.items.text_BT.isnan().all()
    assert parts["no picture"].data.items.image_BI.isnan().all()
    assert parts["closed form alone, no gradient"].config == replace(config, steps=0)
    assert parts["with CosFace"].config.cosface


def test_words_are_a_part_and_stand_beside_the_backbones_alone(make_world: MakeWorld) -> None:
    data = make_world(spus=30)
    items = data.items
    names = [f"brand {number * 7919 % 100_003}" for number in data.spu_N.tolist()]
    text_NX = torch.cat((items.text_BT.nan_to_num(), torch.from_numpy(word_features(names))), dim=1)
    worded = replace(data, items=replace(items, text_BT=text_NX))
    recipe = Recipe(worded, [24], CopeConfig(dim=64, steps=0), words_width=WIDTH)

    silent = ablations(recipe)["no words in pictures"]
    rows = {
        its.row: its.figures["mean new R@1"]
        for its, _ in cross_validated(
            recipe, "COPE", {0: _split(data)}, seed=0, domains=DOMAINS, others=beside(recipe)
        )
    }

    assert silent.words_width == 0
    torch.testing.assert_close(silent.data.items.text_BT, items.text_BT, equal_nan=True)
    assert list(rows) == ["COPE", "backbones alone", "backbones and words alone"]
    assert rows["backbones and words alone"] > rows["backbones alone"]


def test_a_part_that_is_nowhere_is_not_left_out(make_world: MakeWorld) -> None:
    data = make_world(spus=10)
    items = data.items
    nothing = torch.full_like(items.text_BT, torch.nan)
    pictures = replace(data, items=Features(items.domain_B, items.image_BI, nothing))

    parts = ablations(Recipe(pictures, [24], CopeConfig(image_backbones=("one",))))

    assert not {"no text", "no picture", "one alone"} & set(parts)


def test_spreads_are_over_trainings() -> None:
    def measured(row: str, values: Sequence[float]) -> list[Measured]:
        return [Measured(row, n, 0, {"R@1": value}, {}) for n, value in enumerate(values)]

    found = spreads([*measured("a", [0.25, 0.75]), *measured("b", [1.0])])

    assert (found["a"]["R@1"].mean, found["a"]["R@1"].deviation) == (0.5, 0.25)
    assert (found["b"]["R@1"].mean, found["b"]["R@1"].trainings) == (1.0, 1)
