from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encoders.cope.sampling import CopeData, PairSampler, drawn, split_of


def test_split_of_does_not_depend_on_other_spus_and_has_the_shares_asked_for() -> None:
    splits = [split_of(f"spu{n}", held_out=0.25, seed=3) for n in range(4000)]

    assert splits.count("test") / 4000 == pytest.approx(0.25, abs=0.03)
    assert set(splits) == {"test", "train"}
    assert splits[17] == split_of("spu17", held_out=0.25, seed=3)


@given(st.text(), st.integers(0, 5))
def test_more_held_out_keeps_what_was_held_out(spu_id: str, seed: int) -> None:
    if split_of(spu_id, held_out=0.2, seed=seed) == "test":
        assert split_of(spu_id, held_out=0.5, seed=seed) == "test"


def test_a_sample_of_spus_has_those_of_a_smaller_one() -> None:
    spu_ids = [f"spu{number}" for number in range(2000)]

    small, large, every = (drawn(spu_ids, share) for share in (0.1, 0.4, 1.0))

    assert (small & ~large).sum() == 0
    assert large.float().mean().item() == pytest.approx(0.4, abs=0.04)
    assert every.all()


@pytest.mark.parametrize("domains", [1, 3])
def test_each_pair_is_two_items_of_one_spu_and_each_row_another_spu(
    make_world: Callable[..., CopeData], domains: int
) -> None:
    data = make_world(spus=9, domains=domains)
    batches = list(PairSampler(data, 3).epoch(4, torch.Generator().manual_seed(0)))

    assert len(batches) == 3 * 3
    for pair in (pair for batch in batches for pair in batch):
        spus = data.spu_N[pair.left_B]
        assert torch.equal(spus, data.spu_N[pair.right_B])
        assert len(set(spus.tolist())) == len(spus)
        assert not (pair.left_B == pair.right_B).any()


def test_pairs_join_different_domains_where_an_spu_has_several(
    make_world: Callable[..., CopeData],
) -> None:
    data = make_world(spus=9)
    domain = data.items.domain_B

    for batch in PairSampler(data, 3).epoch(9, torch.Generator().manual_seed(0)):
        sides = {(int(domain[p.left_B[0]]), int(domain[p.right_B[0]])) for p in batch}
        assert sides == {(0, 1), (0, 2), (1, 2)}


def test_an_epoch_draws_every_item_sooner_or_later(make_world: Callable[..., CopeData]) -> None:
    data = make_world(spus=6)
    sampler = PairSampler(data, 3)

    drawn = {
        row
        for seed in range(20)
        for batch in sampler.epoch(6, torch.Generator().manual_seed(seed))
        for pair in batch
        for row in (*pair.left_B.tolist(), *pair.right_B.tolist())
    }

    assert drawn == set(range(len(data.items)))
