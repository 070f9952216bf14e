import torch
from hypothesis import given
from hypothesis import strategies as st

from encoders.cope.items import unit
from encoders.cope.spelling import WEIGHT, numbers, spelling_map, with_spelling
from encoders.cope.word_features import word_features


def _vectors(seed: int, rows: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return unit(torch.randn(rows, width, generator=generator, dtype=torch.float64))


@given(st.integers(0, 10_000), st.lists(st.booleans(), min_size=4, max_size=4))
def test_items_of_two_domains_compare_as_before_where_one_has_no_words(
    seed: int, has_words: list[bool]
) -> None:
    emb_BL, words_BK = _vectors(seed, 4, 6), _vectors(seed + 1, 4, 3)
    words_BK[~torch.tensor(has_words)] = 0
    domain_B = torch.tensor([0, 0, 1, 1])

    both_BD = with_spelling(emb_BL, words_BK, domain_B, domains=2)

    torch.testing.assert_close(both_BD.norm(dim=1), torch.ones(4, dtype=torch.float64))
    before, after = emb_BL[:2] @ emb_BL[2:].T, both_BD[:2] @ both_BD[2:].T
    agreement = words_BK[:2] @ words_BK[2:].T
    torch.testing.assert_close(after * (1 + WEIGHT), before + WEIGHT * agreement)


def test_what_every_item_says_counts_for_nothing() -> None:
    texts = [f"photo taken in a shop {word}" for word in ("oatly", "arla", "valio", "alpro")]
    words_NW = torch.from_numpy(word_features(texts))
    domain_N = torch.zeros(4, dtype=torch.long)

    map_WK = spelling_map(words_NW, domain_N, spus=4, dims=4)
    spelling_NK = unit(words_NW.double() @ map_WK)

    before, after = words_NW @ words_NW.T, spelling_NK @ spelling_NK.T
    off_diagonal = ~torch.eye(4, dtype=torch.bool)
    assert before[off_diagonal].min() > 0.5
    assert after[off_diagonal].abs().max() < 0.3


def test_a_word_common_in_one_domain_alone_is_common() -> None:
    texts = ["photo"] * 6 + ["photo", "oatly", "arla", "valio", "alpro", "photo"]
    words_NW = torch.from_numpy(word_features(texts))
    domain_N = torch.tensor([0] * 6 + [1] * 6)

    map_WK = spelling_map(words_NW, domain_N, spus=6, dims=4)

    assert (words_NW[0].double() @ map_WK).norm() < 0.2 * (words_NW[8].double() @ map_WK).norm()


def test_misread_words_stay_nearer_than_others() -> None:
    seen, misread, other = torch.from_numpy(
        word_features(["arla ekologisk mjölk", "aria ekologlsk mjolk", "alpro soya vanilla"])
    )

    assert seen @ misread > seen @ other + 0.2


def test_a_text_without_a_word_has_no_features() -> None:
    assert not word_features(["", "  "]).any()


def test_small_vectors_keep_most_of_their_numbers() -> None:
    assert (numbers(16), numbers(128), numbers(512)) == (4, 32, 32)
