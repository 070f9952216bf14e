import torch

from encoders.cope.examples import examples
from encoders.cope.items import Features
from encoders.cope.sampling import CopeData

DOMAINS = ("page", "video")


def _data() -> tuple[CopeData, torch.Tensor]:
    """Return two pages and three videos: one is found right, one wrong, one has no vector."""
    domain = torch.tensor([0, 0, 1, 1, 1])
    emb_ND = torch.tensor([[1.0, 0], [0, 1], [1, 0], [1, 0], [torch.nan, torch.nan]])
    nothing = torch.zeros(5, 1)
    spu_N = torch.tensor([0, 1, 0, 1, 1])
    return CopeData(Features(domain, nothing, nothing), spu_N, ["a", "b"]), emb_ND


def test_wrong_examples_come_first_and_say_which_of_the_nearest_are_right() -> None:
    data, emb_ND = _data()
    everything = torch.ones(5, dtype=torch.bool)

    found = examples(emb_ND, data, everything, data.items.domain_B == 1, DOMAINS, of_each=3)

    assert [(e.direction, e.query, e.found, e.is_right) for e in found] == [
        ("video>page", 3, [0, 1], [False, True]),
        ("video>page", 2, [0, 1], [True, False]),
    ]


def test_a_query_that_nothing_could_be_found_for_is_no_example() -> None:
    data, emb_ND = _data()
    without_b = torch.tensor([True, False, True, True, True])

    found = examples(emb_ND, data, without_b, data.items.domain_B == 1, DOMAINS, of_each=3)

    assert [e.query for e in found] == [2]


def test_no_more_examples_are_drawn_than_asked_and_the_same_ones_again() -> None:
    domain = torch.tensor([0] + [1] * 20)
    data = CopeData(
        Features(domain, torch.zeros(21, 1), torch.zeros(21, 1)),
        torch.zeros(21, dtype=torch.long),
        ["a"],
    )
    everything = torch.ones(21, dtype=torch.bool)

    first, again = (
        examples(torch.ones(21, 2), data, everything, domain == 1, DOMAINS, of_each=4)
        for _ in range(2)
    )

    assert len(first) == 4
    assert first == again
