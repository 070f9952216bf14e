from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_jobs.demo.shop.products import Product, all_products, stream
from spark_jobs.demo.shop.wording import (
    MERCHANTS,
    Merchant,
    misspelt,
    page_attributes,
    page_brand,
    page_title,
    spoken,
)


@pytest.fixture(scope="module")
def product() -> Product:
    return all_products(5, 8, new=0)[0]


@pytest.mark.parametrize("merchant", MERCHANTS, ids=lambda merchant: merchant.name)
def test_page_title_is_tidy_and_has_the_line(product: Product, merchant: Merchant) -> None:
    for number in range(60):
        title = page_title(product, merchant, stream(5, number)).lower()
        letters = Counter(title)
        assert not Counter(product.line.lower().replace(" ", "")) - letters
        assert not any(trace in title for trace in ("{", "}", "()", "  ", " ,"))


def test_page_titles_of_merchants_differ(product: Product) -> None:
    titles = {page_title(product, merchant, stream(5, "title")) for merchant in MERCHANTS}

    assert len(titles) == len(MERCHANTS)


def test_page_title_without_a_brand_has_the_code_where_the_merchant_writes_codes(
    product: Product,
) -> None:
    titles = [page_title(product, MERCHANTS[0], stream(5, number)) for number in range(400)]
    unbranded = [t for t in titles if sorted(product.brand.lower()) not in _words(t)]

    assert unbranded
    digits = product.code[5:9]
    assert all(digits in title for title in unbranded)


def test_page_brand_is_sometimes_missing_or_spelt_otherwise(product: Product) -> None:
    spellings = Counter(page_brand(product, stream(5, number)) for number in range(400))

    assert spellings[product.brand] > 150
    assert spellings[None] > 20
    assert len(spellings) >= 4


def test_page_attributes_are_those_of_the_product(product: Product) -> None:
    for number in range(40):
        attributes = page_attributes(product, MERCHANTS[1], stream(5, number))
        assert attributes.get("material", product.material) == product.material
        assert attributes.get("model", product.code) == product.code
        assert attributes.get("storage", "").replace(" ", "") in ("", "".join(product.measure))


def test_spoken_does_not_always_name_the_brand(product: Product) -> None:
    transcripts = [spoken(product, stream(5, number)) for number in range(60)]

    heard = [product.brand.lower() in transcript for transcript in transcripts]
    assert 0.3 < sum(heard) / len(heard) < 0.8
    assert all(transcript == transcript.lower() for transcript in transcripts)
    assert len(set(transcripts)) == len(transcripts)


@given(st.text(alphabet="abc XYZ-9", max_size=40), st.integers(0, 1000))
def test_misspelt_keeps_words_and_letters(text: str, number: int) -> None:
    changed = misspelt(text, stream(number))

    assert _words(changed) == _words(text)


def _words(text: str) -> list[list[str]]:
    return [sorted(word.lower()) for word in text.split()]
