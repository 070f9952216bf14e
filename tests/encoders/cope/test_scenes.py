from collections.abc import Callable
from dataclasses import replace

import torch

from encoders.cope.evaluation import directions, item_vectors
from encoders.cope.items import Features
from encoders.cope.sampling import CopeData, Parts
from encoders.cope.scenes import shown_parts
from encoders.cope.training import train
from encoders.settings import CopeConfig

DOMAINS = ("page", "video", "live")


def picture(items: Features) -> torch.Tensor:
    return torch.nn.functional.normalize(items.image_BI, dim=1)


def test_a_scene_is_the_part_nearest_to_the_other_items_of_its_spu() -> None:
    left, right, between = [1.0, 0.0], [0.0, 1.0], [0.7, 0.7]
    # Pages of a and b, three scenes: two of them of a; c has no page.
    data = CopeData(
        Features(
            torch.tensor([0, 0, 2, 2, 2]),
            torch.tensor([left, right, between, left, between]),
            torch.full((5, 1), torch.nan),
        ),
        torch.tensor([0, 1, 0, 0, 2]),
        ["a", "b", "c"],
        Parts(
            torch.tensor([right, left, right, between, left, right]),
            item_V=torch.tensor([2, 2, 3, 3, 4, 4]),
            part_V=torch.tensor([0, 1, 0, 1, 0, 1]),
        ),
    )

    found = shown_parts(data, picture)

    assert (
        found.items.image_BI.tolist() == torch.tensor([left, right, left, left, between]).tolist()
    )
    assert found.parts is None
    assert data.items.image_BI[2].tolist() == torch.tensor(between).tolist()
    assert shown_parts(found, picture) is found


def test_chosen_items_keep_their_parts() -> None:
    features = Features(torch.zeros(4, dtype=torch.long), torch.rand(4, 2), torch.rand(4, 1))
    image_VI = torch.rand(4, 2)
    parts = Parts(image_VI, item_V=torch.tensor([1, 1, 3, 3]), part_V=torch.tensor([0, 1, 0, 1]))
    data = CopeData(features, torch.tensor([0, 1, 1, 0]), ["a", "b"], parts)

    kept = data.where(torch.tensor([True, False, True, True])).parts

    assert kept is not None
    assert kept.item_V.tolist() == [2, 2]
    assert kept.part_V.tolist() == [0, 1]
    assert torch.equal(kept.image_VI, image_VI[2:])


def test_training_on_the_parts_that_show_a_product_finds_new_ones_better(
    make_world: Callable[..., CopeData],
) -> None:
    # Videos show two products, and have a part of each.
    plain = make_world(spus=80, items=3, domains=2)
    videos = torch.nonzero(plain.items.domain_B == 1).squeeze(1)
    own_VI, other_VI = plain.items.image_BI[videos], plain.items.image_BI[videos.roll(7)]
    image_NI = plain.items.image_BI.clone()
    image_NI[videos] = own_VI + 2 * other_VI
    parts = Parts(
        torch.cat((own_VI, other_VI)),
        item_V=videos.repeat(2),
        part_V=torch.arange(2).repeat_interleave(len(videos)),
    )
    data = replace(plain, items=replace(plain.items, image_BI=image_NI), parts=parts)
    is_new_N = data.spu_N >= 60
    learned, new = data.where(~is_new_N), data.where(is_new_N)

    found = {}
    for name, of in (("parts", learned), ("whole", replace(learned, parts=None))):
        heads = train(of, CopeConfig(dim=16, held_out=0), image_widths=[24], domains=DOMAINS).heads
        with torch.no_grad():
            vectors = item_vectors(heads, new)
        found[name] = directions(vectors, new, DOMAINS)["video>page"].means["R@1"]

    assert found["parts"] > found["whole"] + 0.1


def test_figures_of_the_test_are_of_the_best_part(make_world: Callable[..., CopeData]) -> None:
    plain = make_world(spus=60, items=2, domains=2, width=9)
    videos = torch.nonzero(plain.items.domain_B == 1).squeeze(1)
    image_NI = plain.items.image_BI.clone()
    image_NI[videos] = torch.randn(image_NI[videos].shape, generator=torch.manual_seed(0))
    hidden = replace(plain, items=replace(plain.items, image_BI=image_NI))
    parts = Parts(plain.items.image_BI[videos], item_V=videos, part_V=torch.zeros_like(videos))
    config = CopeConfig(dim=16)

    figures = [
        train(data, config, image_widths=[9], domains=DOMAINS).metrics
        for data in (hidden, replace(hidden, parts=parts))
    ]

    for name in ("test_mean_R@1", "test_raw_mean_R@1"):
        whole, by_part = (float(str(metrics[name])) for metrics in figures)
        assert by_part > whole + 0.2
